"""What does the mesh model know about each workload and route, and which line says so? (spec security 0)

Mesh -> plain data, for `meshlint inspect`. An answer that needs evidence from outside of the input is
`unknown`, with the evidence that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from meshlint.findings import ResourceRef, locate, reference
from meshlint.mesh.attachment import proxy_of
from meshlint.mesh.authz import Policy, Request
from meshlint.mesh.coverage import Requirement
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.exposure import Exposure
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.retries import Retry
from meshlint.mesh.routes import Destination, Route
from meshlint.mesh.scope import Evidence
from meshlint.mesh.timeouts import Timeout
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.durations import spell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class At:
    """A place in the input, 1-based."""

    file: str
    line: int
    column: int

    @staticmethod
    def of(place: Place) -> At:
        location = locate(place)
        return At(location.file, location.start_line, location.start_column)

    @property
    def text(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Answer:
    """`state` is known, unknown or conflict; `value` is None unless it is known.

    `because` are the lines that decide, winner first; `certain` is False when an object outside of the
    input could change the answer; `reason` says what decided, or which evidence is missing.
    """

    state: str
    value: str | None
    certain: bool
    reason: str
    because: tuple[At, ...]


@dataclass(frozen=True, slots=True)
class PortState:
    port: int | None
    mtls: Answer


@dataclass(frozen=True, slots=True)
class PolicyState:
    """An object that the proxies of a workload enforce; `effect` is its action or its issuers."""

    resource: ResourceRef
    effect: str
    at: At


@dataclass(frozen=True, slots=True)
class ExposureState:
    way: str
    by: ResourceRef
    hosts: tuple[str, ...]
    token: tuple[Answer, ...]
    at: At


@dataclass(frozen=True, slots=True)
class WorkloadState:
    resource: ResourceRef
    at: At
    data_plane: Answer
    ports: tuple[PortState, ...]
    authentication: tuple[PolicyState, ...]
    authorization: tuple[PolicyState, ...]
    token: Answer
    exposures: tuple[ExposureState, ...]


@dataclass(frozen=True, slots=True)
class RouteState:
    resource: ResourceRef
    api: str
    protocol: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    mesh: bool
    destinations: tuple[str, ...]
    timeout: Answer
    retries: Answer
    at: At


@dataclass(frozen=True, slots=True)
class State:
    workloads: tuple[WorkloadState, ...]
    routes: tuple[RouteState, ...]

    def plain(self) -> dict[str, Any]:
        """As data for JSON, with the keys of the report."""
        return asdict(self, dict_factory=json_object)


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a record under the keys of the report."""
    return {"apiVersion" if key == "api_version" else key: value for key, value in pairs}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: in some namespaces, of some names (``name`` or ``namespace/name``, with ``*``)."""

    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __call__(self, resource: Resource) -> bool:
        if self.namespaces and resource.ns not in self.namespaces:
            return False
        full = f"{resource.ns}/{resource.name}"
        return not self.names or any(
            fnmatchcase(full if "/" in name else resource.name, name) for name in self.names
        )


ALL: Final = Wanted()


def state_of(mesh: Mesh, wanted: Wanted = ALL) -> State:
    """The state of all workloads and routes, or of those that are asked for."""
    return State(
        tuple(_workload(mesh, w) for w in mesh.workloads.all if wanted(w.resource)),
        tuple(_route(mesh, r) for r in mesh.routes.all if wanted(r.resource)),
    )


def _workload(mesh: Mesh, workload: Workload) -> WorkloadState:
    proxy = proxy_of(workload)
    plane = mesh.data_planes.of(workload)
    policies = mesh.authz.of(proxy)
    return WorkloadState(
        resource=reference(workload.resource),
        at=At.of(workload.resource.place()),
        data_plane=answer_of(plane, lambda value: value.value),
        ports=tuple(
            PortState(port, answer_of(mesh.mtls.mode(workload, port), lambda mode: mode.value))
            for port in mesh.mtls.ports(workload)
        ),
        authentication=tuple(
            PolicyState(reference(a.resource), _issuers(a.rules), At.of(a.resource.place()))
            for a in mesh.authn.of(proxy)
        ),
        authorization=tuple(PolicyState(reference(p.resource), _effect(p), At.of(p.place)) for p in policies),
        token=_token(mesh, workload, plane),
        exposures=tuple(_exposure(mesh, exposure) for exposure in mesh.exposures.of(workload)),
    )


def _token(mesh: Mesh, workload: Workload, plane: Fact[DataPlane]) -> Answer:
    """Must a request to the workload carry a token, as far as its own proxy is concerned?"""
    if plane.is_(DataPlane.NONE):
        because = tuple(map(At.of, plane.because))
        return Answer("known", "not required", plane.certain, "there is no proxy that could ask", because)
    if not plane.known:
        return answer_of(plane, str)
    fact = mesh.jwt.requires(proxy_of(workload), Request())
    if fact.is_(Requirement.NOT_REQUIRED) and mesh.jwt.evidence(workload.namespace) is not Evidence.CLOSED:
        fact = fact.uncertain()
    return answer_of(fact, lambda value: value.value)


def _exposure(mesh: Mesh, exposure: Exposure) -> ExposureState:
    tokens = {answer_of(c.requirement, lambda value: value.value) for c in mesh.jwt.coverage(exposure)}
    return ExposureState(
        way=exposure.way,
        by=reference(exposure.resource),
        hosts=exposure.hosts,
        token=tuple(sorted(tokens, key=lambda answer: (answer.value or "", answer.reason))),
        at=At.of(exposure.place),
    )


def _issuers(rules: Iterable[Any]) -> str:
    return "tokens of " + (", ".join(rule.issuer or "any issuer" for rule in rules) or "nobody")


def _effect(policy: Policy) -> str:
    if policy.problem:
        return f"refused: {policy.problem}"
    action = policy.action.name if policy.action else "unknown action"
    rules = "nothing" if not policy.rules else f"{len(policy.rules)} rule" + "s" * (len(policy.rules) > 1)
    return f"{action} {rules}" + (" (dry run)" if policy.dry_run else "")


def _route(mesh: Mesh, route: Route) -> RouteState:
    return RouteState(
        resource=reference(route.resource),
        api=route.api,
        protocol=route.protocol,
        hosts=route.hosts,
        gateways=(*(f"{g.namespace}/{g.name}" for g in route.gateways), *route.missing_gateways),
        mesh=route.mesh,
        destinations=tuple(map(_destination, route.destinations)) or (route.action,),
        timeout=answer_of(mesh.timeouts.of(route), _timeout),
        retries=answer_of(mesh.retries.of(route), _retry),
        at=At.of(route.place()),
    )


def _destination(destination: Destination) -> str:
    port = f":{destination.port}" if destination.port else ""
    subset = f" subset {destination.subset}" if destination.subset else ""
    weight = f" {destination.weight}%" if destination.weight is not None else ""
    return f"{destination.host}{port}{subset}{weight}"


def _timeout(timeout: Timeout) -> str:
    if not timeout.applies:
        return "does not apply"
    whole = "none" if timeout.limit is None else spell(timeout.limit)
    return whole if timeout.per_try is None else f"{whole}, {spell(timeout.per_try)} per try"


def _retry(retry: Retry) -> str:
    if not retry.applies:
        return "does not apply"
    if not retry.attempts:
        return "none"
    per_try = f", {spell(retry.per_try)} per try" if retry.per_try is not None else ""
    return f"{retry.attempts} on {','.join(retry.retry_on)}{per_try}"


def answer_of(fact: Fact[T], spelled: Callable[[T], str]) -> Answer:
    value = spelled(fact.value) if fact.known else None
    because = dict.fromkeys(At.of(place) for place in fact.because)
    return Answer(fact.state.value, value, fact.certain, fact.reason, tuple(because))
