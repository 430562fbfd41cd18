"""Which namespaces join the mesh without saying so? (spec istioctl-analyze IST0148, security 1.2)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.labels import MODE, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.namespaces import IGNORED_NAMESPACES, label_home

Options = Mapping[str, Any]


def injected_by_default(mesh: Mesh, options: Options) -> Iterator[Draft]:
    automatic = mesh.config.injector_value("sidecarInjectorWebhook", "enableNamespacesByDefault")
    if not automatic.is_(True):
        return
    for name, definitions in mesh.namespaces.definitions.items():
        if name in IGNORED_NAMESPACES or name in ("istio-system", mesh.config.root):
            continue
        labels = [mesh.namespaces.label(name, key) for key in (NAMESPACE_INJECTION, REVISION, MODE)]
        if not all(label.is_(None) for label in labels):
            continue
        certain = automatic.certain and all(label.certain for label in labels)
        for namespace in definitions:
            yield Draft(
                label_home(namespace),
                f"policy: {namespace.title} has no label about injection, and its pods get a sidecar because "
                "the injector is told to inject by default",
                label="injected by default",
                help=f"label it with {NAMESPACE_INJECTION}: enabled, or disabled if it stays out of the mesh",
                related=tuple(("makes injection the default", place) for place in automatic.because[:1]),
                confidence=None if certain else "medium",
            )
