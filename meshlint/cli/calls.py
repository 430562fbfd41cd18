"""Who may call which port of which service, as data and as text for `meshlint inspect --calls`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

from meshlint.cli.state import ALL, Answer, At, Wanted, answer_of, json_object
from meshlint.findings import ResourceRef, reference
from meshlint.mesh.access import Access
from meshlint.mesh.calls import Callers, Calls, Target
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service, ServicePort
from meshlint.records import dataclass
from meshlint.report.paint import Paint

_MOST: Final = 3
_MOST_NAMES: Final = 20
#: marks answers that hold as far as the input shows
_OPEN: Final = "*"
_WORDS: Final = {
    Access.ALLOWED: "allowed",
    Access.SOME: "in part",
    Access.DENIED: "denied",
    Access.EXTERNAL: "external",
}


@dataclass(frozen=True, slots=True)
class CallersState:
    """`kind` is accounts, namespaces, others, plain or unsure; `workloads` are some of the `count`.

    `names` are some of the accounts or namespaces, and `more` says how many others there are.
    """

    kind: str
    names: tuple[str, ...]
    more: int
    workloads: tuple[ResourceRef, ...]
    count: int


@dataclass(frozen=True, slots=True)
class CallsState:
    """`access` is allowed, in part, denied or external; `requests` are those that pass in part."""

    callers: tuple[CallersState, ...]
    access: Answer
    requests: str


@dataclass(frozen=True, slots=True)
class TargetState:
    workload: ResourceRef
    port: int | None
    calls: tuple[CallsState, ...]


@dataclass(frozen=True, slots=True)
class PortState:
    port: int
    name: str
    targets: tuple[TargetState, ...]


@dataclass(frozen=True, slots=True)
class UnseenState:
    """A Sidecar that does not import the service, and how many others with the same hosts there are."""

    sidecar: ResourceRef
    more: int
    at: At


@dataclass(frozen=True, slots=True)
class ServiceState:
    resource: ResourceRef
    host: str
    at: At
    exported_to: tuple[str, ...] | None
    ports: tuple[PortState, ...]
    unseen: tuple[UnseenState, ...]
    #: how many Sidecars more do not import it
    unseen_more: int


@dataclass(frozen=True, slots=True)
class CallState:
    services: tuple[ServiceState, ...]

    def plain(self) -> dict[str, Any]:
        """As data for JSON, with the keys of the report."""
        return asdict(self, dict_factory=json_object)

    def text(self, look: Paint) -> Iterator[str]:
        """Lines: per service and port who is allowed, who is not, and the lines that decide it."""
        for service in self.services:
            yield from _service(service, look)
        answers = (c.access for s in self.services for p in s.ports for t in p.targets for c in t.calls)
        if any(map(_open, answers)):
            yield f"{_OPEN} as far as the input shows: objects outside of it may decide otherwise"


def calls_of(mesh: Mesh, wanted: Wanted = ALL) -> CallState:
    """All Services with pods of their own, or those that are asked for."""
    found = (s for s in mesh.registry.services if s.kind in ("service", "headless"))
    return CallState(tuple(_state(mesh, s) for s in found if wanted(s.resource)))


def _state(mesh: Mesh, service: Service) -> ServiceState:
    unseen, more = mesh.calls.unseen(service)
    return ServiceState(
        resource=reference(service.resource),
        host=service.host,
        at=At.of(service.resource.place()),
        exported_to=None if service.export_to is None else tuple(sorted(service.export_to)),
        ports=tuple(_port_state(mesh, service, port) for port in service.ports),
        unseen=tuple(
            UnseenState(reference(u.sidecar.resource), u.more, At.of(u.sidecar.resource.place()))
            for u in unseen
        ),
        unseen_more=more,
    )


def _port_state(mesh: Mesh, service: Service, port: ServicePort) -> PortState:
    return PortState(port.number, port.name, tuple(map(_target_state, mesh.calls.to(service, port))))


def _target_state(target: Target) -> TargetState:
    return TargetState(
        reference(target.workload.resource), target.port, tuple(map(_calls_state, target.calls))
    )


def _calls_state(calls: Calls) -> CallsState:
    answer = answer_of(calls.access, lambda access: _WORDS[access])
    return CallsState(tuple(map(_callers_state, calls.callers)), answer, calls.requests)


def _callers_state(callers: Callers) -> CallersState:
    workloads = tuple(reference(w.resource) for w in callers.workloads)
    names = callers.names[:_MOST_NAMES]
    return CallersState(callers.kind, names, len(callers.names) - len(names), workloads, callers.count)


# -- text -----------------------------------------------------------------------------------------------


def _service(service: ServiceState, look: Paint) -> Iterator[str]:
    yield f"{look.bold(service.resource.title)}  {look.dim(service.host)}  {service.at.text}"
    if service.exported_to is not None:
        yield f"  exported to {', '.join(service.exported_to) or 'nobody'}"
    for port in service.ports:
        if not port.targets:
            yield f"  {_port(port)}: unknown, its pods are not in the input"
    for calls, headings in _alike(service.ports).items():
        yield from (f"  {heading}" for heading in headings)
        yield from (_calls(one, calls) for one in sorted(calls, key=_last))
    for unseen in service.unseen:
        more = f" and {unseen.more} more with the same hosts" if unseen.more else ""
        yield f"  unseen by the pods of {unseen.sidecar.title}{more}  ({unseen.at.text})"
    if service.unseen_more:
        count = service.unseen_more
        yield f"  unseen by the pods of {count} more Sidecar{'s' if count > 1 else ''}"
    yield ""


def _port(port: PortState) -> str:
    return f"port {port.port} {port.name}" if port.name else f"port {port.port}"


def _alike(ports: Iterable[PortState]) -> dict[tuple[CallsState, ...], list[str]]:
    """Ports and the workloads behind them, those together that fare alike."""
    found: dict[tuple[CallsState, ...], list[str]] = defaultdict(list)
    for port in ports:
        groups: dict[tuple[tuple[CallsState, ...], int | None], list[str]] = defaultdict(list)
        for target in port.targets:
            groups[target.calls, target.port].append(target.workload.title)
        for (calls, number), titles in groups.items():
            found[calls].append(f"{_port(port)} -> {number or '?'} of {_some_of(titles)}")
    return found


def _some_of(titles: list[str]) -> str:
    """Each once, with how many versions of it there are."""
    counted = [
        f"{title} ({versions} versions)" if versions > 1 else title
        for title, versions in Counter(titles).items()
    ]
    return _some(tuple(counted[:_MOST]), len(counted) - _MOST)


def _last(calls: CallsState) -> bool:
    """All others come after those that are told apart from them."""
    return any(one.kind in ("others", "plain", "unsure") for one in calls.callers)


def _calls(calls: CallsState, every: tuple[CallsState, ...]) -> str:
    answer = calls.access
    word = answer.value if answer.value is not None else answer.state
    whom = "everybody" if len(every) == 1 else "; ".join(_limited(calls.callers, every))
    notes = [note for note in (calls.requests, answer.reason) if note]
    word += _OPEN * _open(answer)
    notes += [", ".join(dict.fromkeys(at.text for at in answer.because[:_MOST]))] if answer.because else []
    return f"    {word:<9} {whom}" + (f"  ({'; '.join(notes)})" if notes else "")


def _open(answer: Answer) -> bool:
    """May an object outside of the input change the answer?"""
    return answer.state == "known" and not answer.certain


def _limited(callers: tuple[CallersState, ...], every: tuple[CallsState, ...]) -> Iterator[str]:
    """Who they are; accounts and namespaces that fare like all others are not named."""
    others = any(one.kind == "others" for one in callers)
    inside = {"accounts", "namespaces"}
    apart = any(one.kind in inside for calls in every if calls.callers != callers for one in calls.callers)
    if others:
        yield "all others in the mesh" if apart else "everybody in the mesh"
    yield from (_named(c) for c in callers if c.kind != "others" and not (others and c.kind in inside))


def _named(callers: CallersState) -> str:
    pods = _some(tuple(w.title for w in callers.workloads), callers.count - len(callers.workloads))
    names = _some(callers.names[:_MOST], callers.more + max(len(callers.names) - _MOST, 0))
    plural = "s" * (len(callers.names) > 1)
    match callers.kind:
        case "accounts":
            return pods or f"service account{plural} {names}, which no pod of the input has"
        case "namespaces":
            return f"namespace{plural} {names}" + (f" ({pods})" if pods else "")
        case "plain":
            return "callers without mutual TLS" + (f" ({pods})" if pods else "")
    return f"{pods}, which may be in the mesh or not"


def _some(shown: tuple[str, ...], more: int) -> str:
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
