"""How many pods does a workload have, and how many endpoints a service? (spec traffic 4.4, 4.7)

The count that a manifest writes, or the bounds of an autoscaler. Versions of one object that differ,
templated numbers, and workloads that are not counted by a number give an unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from meshlint.mesh.facts import Fact
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, int_of, mappings, string_map, text_of

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Place, Resource

_COUNTED: Final = frozenset(
    {"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "DeploymentConfig", "Rollout"}
)


@dataclass(frozen=True, slots=True)
class Count:
    """Between `least` and `most`; `most` None has no bound. `written` False: 1 is only the default."""

    least: int
    most: int | None
    written: bool = True


class Replicas:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[int, Fact[Count]] = {}
        self._scalers: dict[tuple[str, str, str], list[tuple[Resource, YamlMapping]]] = defaultdict(list)
        for group, kind in (("autoscaling", "HorizontalPodAutoscaler"), ("keda.sh", "ScaledObject")):
            for resource in mesh.scope.of(group, kind):
                target = resource.mapping("spec", "scaleTargetRef")
                if target is not None:
                    aim = text_of(target.get("kind")) or "Deployment"
                    name = text_of(target.get("name")) or ""
                    self._scalers[aim, resource.ns, name].append((resource, target))

    def of(self, workload: Workload) -> Fact[Count]:
        """The number of pods of a workload."""
        fact = self._known.get(id(workload))
        if fact is None:
            fact = self._known[id(workload)] = self._count(workload)
        return fact

    def endpoints(self, service: Service, labels: Mapping[str, str] | None = None) -> Fact[Count]:
        """The number of endpoints of a service, or of those of its pods that carry more labels."""
        if service.kind == "service-entry" and not service.selector:
            return self._listed(service, labels or {})
        workloads = [
            w
            for w in self.mesh.registry.workloads_of(service)
            if not labels or labels.items() <= w.labels.items()
        ]
        if not workloads:
            return Fact.missing(f"the pods of {service.host} are not in the input")
        return self._sum(workloads)

    def _sum(self, workloads: Iterable[Workload]) -> Fact[Count]:
        by_object: dict[tuple[str, str, str, str], list[Fact[Count]]] = defaultdict(list)
        for workload in workloads:
            by_object[workload.resource.key].append(self.of(workload))
        least, most, written = 0, 0, True
        unbounded = False
        places: list[Place] = []
        for facts in by_object.values():
            if any(not fact.known for fact in facts):
                return next(fact for fact in facts if not fact.known)
            if len({(fact.value.least, fact.value.most) for fact in facts}) > 1:
                return Fact.disputed(
                    "versions of one object have different replicas", *(f.because[0] for f in facts)
                )
            count = facts[0].value
            least += count.least
            unbounded = unbounded or count.most is None
            most += count.most or 0
            written = written and count.written
            places += facts[0].because[:1]
        return Fact.of(Count(least, None if unbounded else most, written), *places)

    def _count(self, workload: Workload) -> Fact[Count]:
        resource = workload.resource
        if workload.partial:
            return Fact.missing(f"{workload.title} is a part of a manifest")
        if workload.kind == "Pod":
            return Fact.of(Count(1, 1), resource.place())
        if workload.kind not in _COUNTED:
            return Fact.missing(f"{workload.kind} has no number of replicas")
        scalers = self._scalers.get((workload.kind, workload.namespace, workload.name), [])
        if scalers:
            return _scaled([scaler for scaler, _ in scalers])
        node = resource.get("spec", "replicas")
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return Fact.of(Count(1, 1, written=False), resource.place())
        number = int_of(node)
        if number is None:
            return Fact.missing("the number of replicas is not a number", resource.place(node))
        return Fact.of(Count(number, number), resource.place_at("spec", "replicas", part="pair"))

    def _listed(self, service: Service, labels: Mapping[str, str]) -> Fact[Count]:
        """Endpoints that a ServiceEntry lists; names of DNS may have any number of addresses."""
        resource = service.resource
        if resource.text("spec", "resolution") != "STATIC" or resource.get("spec", "endpoints") is None:
            return Fact.missing(f"the endpoints of {service.host} are not in the input")
        found = [
            e for e in mappings(resource.get("spec", "endpoints")) if labels.items() <= _labels(e).items()
        ]
        return Fact.of(Count(len(found), len(found)), resource.place_at("spec", "endpoints", part="key"))


def _scaled(scalers: list[Resource]) -> Fact[Count]:
    """The bounds of an autoscaler; they must agree where there are several versions of it."""
    bounds = {_bounds(scaler) for scaler in scalers}
    places = [scaler.place_at("spec", _key(scaler, "min"), part="pair") for scaler in scalers]
    if len(bounds) > 1:
        return Fact.disputed("autoscalers disagree about the number of replicas", *places)
    least, most = bounds.pop()
    if least is None:
        return Fact.missing("the bounds of the autoscaler are templated", *places)
    return Fact.of(Count(least, most), *places)


def _bounds(scaler: Resource) -> tuple[int | None, int | None]:
    default = 0 if scaler.kind == "ScaledObject" else 1
    node = scaler.get("spec", _key(scaler, "min"))
    least = default if node is None else int_of(node)
    return least, int_of(scaler.get("spec", _key(scaler, "max")))


def _key(scaler: Resource, bound: str) -> str:
    return f"{bound}ReplicaCount" if scaler.kind == "ScaledObject" else f"{bound}Replicas"


def _labels(endpoint: YamlMapping) -> dict[str, str]:
    return string_map(endpoint.get("labels"))


def most_ejectable(endpoints: int, percent: int) -> int | None:
    """How many of some endpoints outlier detection may eject at once; None where rounding decides.

    Since Envoy 1.28 no host is ejected beyond the share, not even the first.
    """
    exact = endpoints * percent
    for count in range(1, endpoints + 1):
        whole = 100 * count
        if whole % endpoints and abs(exact - whole) < endpoints:
            return None
        if whole > exact + endpoints:
            break
    return exact // 100
