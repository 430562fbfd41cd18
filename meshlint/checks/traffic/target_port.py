"""Do the pods of a Service have the port that it sends to? (spec kiali-validations KIA0701)

Kubernetes looks up a named port in each pod and leaves the pod out where it has none. A number is used as
it is: what containers declare is documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.traffic.neighbours import same_namespace
from meshlint.findings import CONFIDENCES, Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.labels import MANAGED
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service, ServicePort
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Sequence, int_of, mappings, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: a port that the injector adds to every pod
_OF_THE_PROXY: Final = "http-envoy-prom"
#: they have labels of what they prepare, and serve nobody
_PASSING: Final = frozenset({"Job", "CronJob"})
#: annotations with which other injectors add containers
_INJECTORS: Final = frozenset(
    {"dapr.io/enabled", "sidecar.opentelemetry.io/inject", "vault.hashicorp.com/agent-inject"}
)


@dataclass(frozen=True, slots=True)
class _Declared:
    """Ports of the containers of a pod as (name, protocol) and as numbers; `open`: there may be others."""

    names: frozenset[tuple[str, str]]
    numbers: frozenset[int]
    open: bool


def missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    known: dict[Workload, _Declared] = {}
    pods: dict[int, tuple[list[Workload], list[_Declared]]] = {}  # by the list that Services share
    for service in mesh.registry.services:
        if not _is_ordinary(mesh, service):
            continue
        selected = mesh.registry.workloads_of(service)
        if id(selected) not in pods:
            workloads = _pods(mesh, selected)
            for workload in workloads:
                if workload not in known:
                    known[workload] = _declared(workload)
            pods[id(selected)] = workloads, [known[workload] for workload in workloads]
            if any(known[workload].open for workload in workloads):
                pods[id(selected)] = [], []
        workloads, declared = pods[id(selected)]
        for port in service.ports if workloads else ():
            yield from _port(mesh, service, port, workloads, declared)


def _is_ordinary(mesh: Mesh, service: Service) -> bool:
    """Is it a Service of an application, and no part of the mesh or the cluster?"""
    resource = service.resource
    if resource.kind != "Service" or MANAGED in resource.labels:
        return False
    return service.namespace not in (mesh.config.root, "kube-system")


def _pods(mesh: Mesh, selected: list[Workload]) -> list[Workload]:
    """The pods of a Service whose ports the input tells; none for gateways, whose ports Istio knows."""
    workloads = [w for w in selected if w.kind not in _PASSING]
    if any(workload.partial or _grows(workload) for workload in workloads):
        return []
    planes = (mesh.data_planes.of(workload) for workload in workloads)
    return [] if any(p.is_(DataPlane.GATEWAY, DataPlane.WAYPOINT) for p in planes) else workloads


def _grows(workload: Workload) -> bool:
    """Does another injector add containers to the pods, with ports of their own?"""
    return any(name in _INJECTORS for name in workload.annotations)


def _declared(workload: Workload) -> _Declared:
    names, numbers = set(), set()
    doubtful = _may_have_more(workload.pod_spec, "containers")
    for container in workload.containers:
        doubtful = doubtful or _may_have_more(container, "ports")
        for port in mappings(container.get("ports")):
            name, protocol = text_of(port.get("name")) or "", text_of(port.get("protocol")) or "TCP"
            number = int_of(port.get("containerPort"))
            doubtful = doubtful or number is None or is_placeholder(name) or is_placeholder(protocol)
            names.add((name, protocol))
            numbers |= {number} if number is not None else set()
    return _Declared(frozenset(names), frozenset(numbers), doubtful)


def _may_have_more(holder: YamlMapping | None, key: str) -> bool:
    """Does a template or a kustomization stand for the list, or for an item of it?"""
    if holder is None or key not in holder.index:
        return False
    written = holder.get(key)
    return not isinstance(written, Sequence) or len(mappings(written)) < len(written.items)


def _port(
    mesh: Mesh, service: Service, port: ServicePort, workloads: list[Workload], declared: list[_Declared]
) -> Iterator[Draft]:
    protocol = text_of(port.node.get("protocol")) or "TCP"
    target = port.target
    if is_placeholder(protocol) or is_placeholder(text_of(port.node.get("targetPort"))):
        return
    if isinstance(target, str):
        if target != _OF_THE_PROXY and not any((target, protocol) in one.names for one in declared):
            yield _no_name(mesh, service, port, target, protocol, workloads)
    elif mesh.suspicions:
        number = port.number if target is None else target
        unknown = all(one.numbers and number not in one.numbers for one in declared)
        if unknown and not any(_mentions(mesh, workload, number) for workload in workloads):
            yield _no_number(service, port, number, workloads, declared)


def _no_name(
    mesh: Mesh, service: Service, port: ServicePort, name: str, protocol: str, workloads: list[Workload]
) -> Draft:
    headless = service.kind == "headless"
    return Draft(
        service.resource.place(port.node.get("targetPort")),
        f"{service.resource.title} sends port {port.number} to the port {name} of its pods, and no container "
        f"of {_named(workloads)} has a {protocol} port of that name: "
        + ("clients that ask for the port find none" if headless else "the port leads nowhere"),
        label=f"no {protocol} port named {name}",
        help=f"write targetPort: {name} without quotes"
        if name.isdecimal()
        else f"name a port of the containers {name}, or write the number",
        related=_containers(workloads),
        confidence=max(
            "low" if mesh.settings.remainder else "medium" if headless else "high",
            min((_meets(mesh, service, workload) for workload in workloads), key=CONFIDENCES.index),
            key=CONFIDENCES.index,
        ),
        equivalents=_CODE,
    )


def _meets(mesh: Mesh, service: Service, workload: Workload) -> str:
    """How sure is it that the pods are those of the Service, not of another one with the same labels?"""
    return same_namespace(mesh, service.resource, workload.resource) or "high"


def _no_number(
    service: Service,
    port: ServicePort,
    number: int,
    workloads: list[Workload],
    declared: list[_Declared],
) -> Draft:
    there = ", ".join(map(str, sorted(declared[0].numbers)[:4]))
    return Draft(
        service.resource.place_at("targetPort" if port.target is not None else "port", inside=port.node),
        f"{service.resource.title} sends port {port.number} to port {number} of its pods, and the containers "
        f"of {_named(workloads)} declare {there}: if nothing listens on {number}, calls fail",
        label="declared by no container",
        help="send to a port that the containers listen on, or declare this one as well",
        related=_containers(workloads),
        severity="warning",
        confidence="low",
        equivalents=_CODE,
    )


_CODE: Final = ("KIA0701",)


def _mentions(mesh: Mesh, workload: Workload, number: int) -> bool:
    """Do the pods, or a ConfigMap that they name, speak of the number: in a probe, an argument, a setting?"""
    pods = workload.resource.file.text[workload.template.start : workload.template.end]
    word = re.compile(rf"(?<![0-9.]){number}(?![0-9.])")
    if word.search(pods):
        return True
    configs = mesh.scope.within("", "ConfigMap", workload.namespace)
    return any(
        config.name in pods and word.search(config.file.text, config.root.start, config.root.end)
        for config in configs
    )


def _named(workloads: list[Workload]) -> str:
    more = f" and {len(workloads) - 1} more" if len(workloads) > 1 else ""
    return f"{workloads[0].title}{more}"


def _containers(workloads: list[Workload]) -> tuple[tuple[str, Place], ...]:
    return tuple(("the pods", workload.resource.place()) for workload in workloads[:2])
