"""What is known of the Gateway that every Kyma cluster has and no repository? (ecosystem f.2, repositories 9)

Its hosts are ``*.`` and a domain that the manifests do not say, so they count as ``*``. What rules that name
it take is certain; that a host is none of its own is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshlint.mesh.delegates import exported_to
from meshlint.mesh.gateways import Gateway, istio_gateway
from meshlint.mesh.served import owner_of
from meshlint.resources import resources_of
from meshlint.source.parse import parse

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.routes import Route

KEY: Final = "kyma-system/kyma-gateway"
#: the file in which places of it lie, and nobody can open
FILE: Final = f"<{KEY}>"
_MANIFEST: Final = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: kyma-gateway, namespace: kyma-system}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 443, name: https, protocol: HTTPS}
      tls: {mode: SIMPLE, credentialName: kyma-gateway-certs}
      hosts: ["*"]
    - port: {number: 80, name: http, protocol: HTTP}
      tls: {httpsRedirect: true}
      hosts: ["*"]
"""


def kyma_gateway() -> Gateway:
    """The Gateway with its usual servers."""
    file = parse(FILE, _MANIFEST)
    return istio_gateway(next(iter(resources_of(file.documents[0]))))


def routes_at(mesh: Mesh) -> list[Route]:
    """Rules that name the Gateway, which is not in the input, and that its pods see."""
    root, exports = mesh.config.root, mesh.routes.default_exports
    return [
        route
        for route in mesh.routes.all
        if KEY in route.binding.missing
        and (route.api != "VirtualService" or exported_to(owner_of(route), root, exports))
    ]
