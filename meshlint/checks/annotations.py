"""Which annotations does Istio not know, not read where they are, or no longer want?

Spec istioctl-analyze IST0107, IST0108, IST0125, IST0135, IST0136. Pod annotations on other objects than pods
are in `injection`, as are refused ones of injected pods; deprecated ones of pods are in `sidecar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.findings import Draft
from meshlint.mesh.annotations import (
    ADDED_WITHOUT_INIT,
    DEPRECATED,
    DEPRECATED_ON_SERVICES,
    HOMES,
    LABELS,
    POD_ANNOTATIONS,
    SETTLED,
    WRITTEN_BY_ISTIO,
    is_istios,
    is_known,
)
from meshlint.mesh.labels import DRY_RUN, MANAGED, MODE, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_EXTENSIONS, ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY
from meshlint.mesh.workloads import POD_TEMPLATES
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.schema.suggest import sibling
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Scalar, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_ISTIO: Final = frozenset((ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY, ISTIO_EXTENSIONS))
_PLAIN: Final = frozenset((("", "Namespace"), ("", "Service"), ("networking.k8s.io", "Ingress")))
#: kinds of virtual machines, whose annotations stand for those of pods
_MACHINES: Final = frozenset(("WorkloadEntry", "WorkloadGroup"))
#: what `injection-label-on-wrong-object` says about labels among annotations
_SAID: Final = frozenset((MODE, REVISION, NAMESPACE_INJECTION))
#: what istioctl looks at
_EXAMINED: Final = frozenset(("Namespace", "Service", "Pod", "Deployment"))


@dataclass(frozen=True, slots=True)
class _Written:
    """An annotation of Istio's; `kind` is what it sits on, Pod for the template of pods."""

    resource: Resource
    kind: str
    key: Scalar
    name: str

    @property
    def title(self) -> str:
        if self.kind == "Pod" and self.resource.kind != "Pod":
            return f"The pod template of {self.resource.title}"
        return self.resource.title

    @property
    def place(self) -> Place:
        return self.resource.place(self.key)


@once
def _written(mesh: Mesh) -> list[_Written]:
    found: list[_Written] = []
    for resource in mesh.scope.resources:
        path = POD_TEMPLATES.get((resource.group, resource.kind))
        if path is None and resource.group not in _ISTIO and (resource.group, resource.kind) not in _PLAIN:
            continue
        kind = resource.kind
        if path is None and resource.group in _ISTIO and kind == "Gateway":
            kind = "Istio Gateway"
        found += _of(resource, kind, resource.metadata)
        if path:
            template = resource.mapping(*path, "metadata")
            found += _of(resource, "Pod", template)
    return found


def _of(resource: Resource, kind: str, metadata: MappingNode | None) -> Iterator[_Written]:
    annotations = metadata.get("annotations") if metadata is not None else None
    if isinstance(annotations, MappingNode):
        for name, (key, _) in annotations.index.items():
            if (name.find("istio.io/") >= 0 and is_istios(name)) or name == "kubernetes.io/ingress.class":
                yield _Written(resource, kind, key, name)


def unknown(mesh: Mesh, options: Options) -> Iterator[Draft]:
    accepted = tuple(options.get("known", ()))
    for written in _written(mesh):
        name = written.name
        if is_known(name) or name in accepted or is_placeholder(name) or name in _SAID:
            continue
        label, advice = "unknown", "remove it, or correct its name"
        if name in LABELS:
            says = "as an annotation, which Istio reads as a label only: here it does nothing"
            label, advice = "a label, not an annotation", "move it to the labels"
        else:
            says = "as an annotation, which no release of Istio that meshlint knows reads"
            near = _meant(name)
            if near is not None:
                label, advice = f"did you mean {near}?", f"write {near}"
        yield Draft(
            written.place,
            f"{written.title} has {name} {says}",
            label=label,
            help=advice,
            equivalents=None if written.kind in _EXAMINED else (),
        )


def _meant(name: str) -> str | None:
    """The same word under another domain, or a word of the same domain that is close to it."""
    domain, _, word = name.partition("/")
    for known in _NAMES:
        if known.endswith(f"/{word}"):
            return known
    near = sibling(word, (known.partition("/")[2] for known in _NAMES if known.startswith(f"{domain}/")))
    return f"{domain}/{near}" if near is not None else None


_NAMES: Final = tuple(sorted((*POD_ANNOTATIONS, *HOMES)))


def misplaced(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for written in _written(mesh):
        homes = HOMES.get(written.name)
        if homes is None and written.name in POD_ANNOTATIONS and written.resource.group in _ISTIO:
            homes = () if written.resource.kind in _MACHINES else ("Pod",)
        if not homes or written.kind in homes or _said_elsewhere(written):
            continue
        kinds = " and ".join(_plural(home) for home in homes)
        yield Draft(
            written.place,
            f"{written.title} has the annotation {written.name}, which Istio reads on {kinds} only: "
            "here it does nothing",
            label="does nothing here",
            help="remove it, or set it on such an object",
            equivalents=None if written.kind in _EXAMINED else (),
        )


def _said_elsewhere(written: _Written) -> bool:
    """A dry run of another kind is refused, says `dry-run-annotation`; istiod copies those of a Gateway."""
    if MANAGED in written.resource.labels:
        return True
    return written.name == DRY_RUN and written.resource.group in _ISTIO


def _plural(kind: str) -> str:
    if kind == "Gateway":
        return "Gateways of the Gateway API"
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"


def deprecated(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for service in mesh.scope.of("", "Service"):
        for name in service.annotations.keys() & DEPRECATED_ON_SERVICES.keys():
            yield Draft(
                service.place_at("metadata", "annotations", name, part="key"),
                f"{service.title} has the annotation {name}, which is deprecated",
                label="deprecated",
                help=f"use {DEPRECATED_ON_SERVICES[name]}",
            )


def invalid(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Values that no injector takes, on pods that none looks at today."""
    for workload in mesh.workloads.all:
        if workload.pod_metadata is None or not any(map(is_istios, workload.annotations)):
            continue
        refusals = mesh.injection.refusals(workload)
        if not refusals or not mesh.injection.of(workload).known:
            continue
        for refusal in refusals:
            if refusal.key not in workload.annotations or refusal.key in workload.labels:
                continue
            yield Draft(
                refusal.place,
                f"{workload.title} sets the annotation {refusal.key} to {refusal.value!r}, which the "
                "injector refuses: once the pods are to join the mesh, none is created",
                label=f"expected {refusal.expected}",
                help=f"write {refusal.expected}",
            )


def alpha(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Annotations of alpha status where Istio reads them; other rules say that one does nothing or is old."""
    accepted = frozenset(options.get("accepted", ()))
    for written in _written(mesh):
        name = written.name
        if name in accepted or not _alpha_here(written) or _added_by_the_injector(written):
            continue
        yield Draft(
            written.place,
            f"policy: {written.title} has the annotation {name}, which is alpha: the next release may read "
            "it differently, or not at all",
            label="alpha",
            help="read the notes of each release before an upgrade, or do without it",
            equivalents=None if written.kind in _EXAMINED else (),
        )


def _alpha_here(written: _Written) -> bool:
    name = written.name
    if name in SETTLED or name in WRITTEN_BY_ISTIO or name in DEPRECATED or name in DEPRECATED_ON_SERVICES:
        return False
    if name in POD_ANNOTATIONS:
        return written.kind == "Pod"
    if name == "galley.istio.io/analyze-suppress":
        return True
    return name != DRY_RUN and written.kind in HOMES.get(name, ())


def _added_by_the_injector(written: _Written) -> bool:
    """On a Pod that it leaves without an init container, the injector writes down how traffic is captured."""
    if written.name not in ADDED_WITHOUT_INIT or written.resource.kind != "Pod":
        return False
    containers = written.resource.mappings("spec", "initContainers")
    return not any(text_of(container.get("name")) == "istio-init" for container in containers)
