"""Which Sidecar resource is a pod's, and which services does it import? (spec traffic 1.11)"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import overlap
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.mesh.workloads import matches
from meshlint.records import dataclass
from meshlint.source.nodes import Scalar, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Resource

NOBODY: Final = "~"


@dataclass(frozen=True, slots=True)
class EgressHost:
    """An entry ``namespace/host``; `exclude` takes out what others import.

    `namespace` is ``*``, a name, or ``.``: that of the client, also in a Sidecar of the root namespace.
    """

    namespace: str
    host: str
    exclude: bool
    node: Scalar

    def admits(self, namespace: str, host: str, client: str) -> bool:
        wanted = client if self.namespace == "." else self.namespace
        return wanted in ("*", namespace) and overlap(self.host, host)


@dataclass(frozen=True, slots=True, eq=False)
class Sidecar:
    """`egress` is None where the resource does not restrict it; `mode` is that of outboundTrafficPolicy."""

    resource: Resource
    selector: dict[str, str]
    egress: tuple[EgressHost, ...] | None
    mode: str

    @property
    def namespace(self) -> str:
        return self.resource.ns


class Sidecars:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.all: list[Sidecar] = [_read(r) for r in mesh.scope.of(ISTIO_NETWORKING, "Sidecar")]

    @cached_property
    def by_namespace(self) -> dict[str, list[Sidecar]]:
        index: dict[str, list[Sidecar]] = defaultdict(list)
        for sidecar in self.all:
            index[sidecar.namespace].append(sidecar)
        return dict(index)

    def of(self, workload: Workload) -> Fact[Sidecar | None]:
        """The one that configures the pod's proxy; disputed where only their age would tell."""
        plane = self.mesh.data_planes.of(workload)
        if plane.known and plane.value is not DataPlane.SIDECAR:
            return Fact.of(None, *plane.because, reason="only sidecars read it")
        return self.of_pod(workload.namespace, workload.labels, workload)

    def of_pod(
        self, namespace: str, labels: dict[str, str], workload: Workload | None = None
    ) -> Fact[Sidecar | None]:
        """The same for a pod with a sidecar that is known by its labels."""
        own = self.by_namespace.get(namespace, [])
        root = self.by_namespace.get(self.mesh.config.root, [])
        candidates = (
            [s for s in own if s.selector and matches(s.selector, labels)],
            [s for s in own if not s.selector],
            [s for s in root if not s.selector],
        )
        for written in candidates:
            read = [(s, self.mesh.readers.reads(s.resource, workload)) for s in written]
            found = [sidecar for sidecar, answer in read if answer is not False]
            if any(answer is None for _, answer in read):
                places = (sidecar.resource.place() for sidecar in found)
                return Fact.missing("whether this revision reads the Sidecar is not in the input", *places)
            if found:
                return _oldest(found)
        return Fact.of(None, certain=False)

    def imports(self, sidecar: Sidecar, service: Service, client: str = "") -> bool:
        """Do its egress hosts let clients of a namespace, else of its own, see the service?

        exportTo is another question.
        """
        return _admits(sidecar, service.namespace, service.host, client or sidecar.namespace)

    def sees(self, sidecar: Sidecar, namespace: str, host: str, client: str) -> bool:
        """Do its egress hosts let in an object of the namespace that is for the host?"""
        return _admits(sidecar, namespace, host, client)

    def reaches(self, sidecar: Sidecar, service: Service, client: str = "") -> bool:
        """Is the service imported, by itself or as a destination of a VirtualService that is?"""
        client = client or sidecar.namespace
        if self.imports(sidecar, service, client):
            return True
        for route in self.mesh.routes.to_service(service):
            owner = route.root.resource if route.root else route.resource
            if any(_admits(sidecar, owner.ns, host, client) for host in route.mesh_hosts):
                return True
        return False


def _admits(sidecar: Sidecar, namespace: str, host: str, client: str) -> bool:
    if sidecar.egress is None:
        return True
    fitting = [entry for entry in sidecar.egress if entry.admits(namespace, host, client)]
    return bool(fitting) and not any(entry.exclude for entry in fitting)


def _oldest(found: list[Sidecar]) -> Fact[Sidecar | None]:
    if len({sidecar.resource.key for sidecar in found}) < 2 and len(found) < 2:
        return Fact.of(found[0], found[0].resource.place())
    places = [sidecar.resource.place() for sidecar in found]
    created = [sidecar.resource.text("metadata", "creationTimestamp") or "" for sidecar in found]
    if all(created) and len({sidecar.resource.key for sidecar in found}) == len(found):
        age = {id(s): (c, s.resource.name) for s, c in zip(found, created, strict=True)}
        winner = min(found, key=lambda sidecar: age[id(sidecar)])
        return Fact.of(winner, winner.resource.place())
    return Fact.disputed("several Sidecars are for the pod; the oldest wins", *places)


def _read(resource: Resource) -> Sidecar:
    listeners = resource.mappings("spec", "egress")
    entries = [
        _entry(item) for listener in listeners for item in texts(listener.get("hosts")) if "/" in item.text
    ]
    policy = resource.mapping("spec", "outboundTrafficPolicy")
    mode = (text_of(policy.get("mode")) or "REGISTRY_ONLY") if policy is not None else ""
    selector = string_map(resource.get("spec", "workloadSelector", "labels"))
    return Sidecar(resource, selector, tuple(entries) if listeners else None, mode)


def _entry(item: Scalar) -> EgressHost:
    namespace, _, host = item.text.partition("/")
    exclude = namespace.startswith(NOBODY)
    namespace = namespace.removeprefix(NOBODY)
    if exclude and not namespace:
        namespace = "*"
    return EgressHost(namespace, host, exclude, item)
