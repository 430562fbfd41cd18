"""Which controller serves an Ingress, and which Services does it lead to? (spec security 4.5)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, int_of, mappings, text_of

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_CONTROLLER = "istio.io/ingress-controller"


@dataclass(frozen=True, slots=True)
class IngressBackend:
    """A path of an Ingress; `kind` is that of an exposure's match, `node` the entry that leads on."""

    node: Mapping
    service: str
    port: int | None
    port_name: str
    host: str = ""
    kind: str = "any"
    path: str = ""


def class_of(mesh: Mesh, ingress: Resource) -> str | None:
    """Who serves it: 'istio', 'other', or None where that hangs on what is not in the input."""
    annotated = ingress.annotations.get(_CLASS_ANNOTATION)
    if annotated is not None:
        wanted = mesh.config.setting("ingressClass")
        name = str(wanted.value or "istio") if wanted.known else "istio"
        mode = mesh.config.setting("ingressControllerMode")
        if annotated != name:
            return "other"
        return "other" if mode.known and mode.value == "OFF" else "istio"
    name_written = ingress.text("spec", "ingressClassName")
    if name_written:
        classes = mesh.scope.find("networking.k8s.io", "IngressClass", "", name_written)
        if classes:
            istio = any(c.text("spec", "controller") == _CONTROLLER for c in classes)
            return "istio" if istio else "other"
        return None if name_written == "istio" else "other"
    return None


def backends_of(ingress: Resource) -> Iterator[IngressBackend]:
    """The backends of an Ingress of networking.k8s.io."""
    default = ingress.mapping("spec", "defaultBackend") or ingress.mapping("spec", "backend")
    if default is not None:
        yield _backend(default, default)
    for rule in ingress.mappings("spec", "rules"):
        host = text_of(rule.get("host")) or ""
        for path in mappings(rule.dig("http", "paths")):
            backend = path.get("backend")
            if isinstance(backend, Mapping):
                yield _backend(path, backend, host, path)


def _backend(node: Mapping, backend: Mapping, host: str = "", path: Mapping | None = None) -> IngressBackend:
    service = text_of(backend.dig("service", "name")) or text_of(backend.get("serviceName")) or ""
    number = int_of(backend.dig("service", "port", "number")) or int_of(backend.get("servicePort"))
    name = text_of(backend.dig("service", "port", "name")) or ""
    text = text_of(path.get("path")) if path is not None else None
    if text is None or path is None:
        return IngressBackend(node, service, number, name, host)
    kind = "exact" if text_of(path.get("pathType")) == "Exact" else "segments"
    return IngressBackend(node, service, number, name, host, kind, text)
