"""What does the mesh do with the request of a test, and is that what the test expects?

Each key of `expect` becomes a Check. What the manifests leave open is unknown; that is a failure only where
the test expects something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from meshlint.findings import locate
from meshlint.mesh.access import PLAIN, Access
from meshlint.mesh.authz import Token
from meshlint.mesh.claims import Claims, claims_of
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest, Sender
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.outcomes import (
    Caller,
    DirectResponse,
    Fault,
    Outcomes,
    Redirect,
    Rewritten,
    Share,
    fault,
    redirect,
    rewrite,
)
from meshlint.mesh.retries import Retry
from meshlint.mesh.served import Served, Way
from meshlint.mesh.sidecars import Sidecar
from meshlint.mesh.timeouts import Timeout
from meshlint.mesh.workloads import Workload
from meshlint.meshtest.files import NONE, UNKNOWN, Case, Complaint, Suite
from meshlint.meshtest.words import (
    spelled,
    spelled_fault,
    spelled_redirect,
    spelled_response,
    spelled_retry,
    spelled_shares,
    spelled_timeout,
)
from meshlint.policy.names import closest
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.durations import go_duration
from meshlint.source.nodes import text_of

T = TypeVar("T")

_ACCESS = {
    Access.ALLOWED: "allowed",
    Access.DENIED: "denied",
    Access.EXTERNAL: "external",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a manifest."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Check:
    """One key of `expect`: `line` is where the test says so, `at` are the lines that decide."""

    key: str
    expected: str
    line: int
    actual: str
    at: tuple[Line, ...]
    passed: bool


@dataclass(frozen=True, slots=True)
class Result:
    """`rule` is what takes the request, in words; `at` its line, None where it is unknown."""

    suite: Suite
    case: Case
    request: str
    rule: str
    at: Line | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Actual:
    """What happens, in words, and whether it is what is expected."""

    text: str
    at: tuple[Line, ...]
    passed: bool


def run_suite(mesh: Mesh, suite: Suite) -> tuple[list[Result], list[Complaint]]:
    """Results of a file, and why tests of it cannot be run: they name a workload that does not exist."""
    results, wrong = [], []
    for case in suite.cases:
        problem = _unknown_source(mesh, suite, case)
        if problem is not None:
            wrong.append(problem)
        else:
            results.append(_run(mesh, suite, case))
    return results, wrong


def _run(mesh: Mesh, suite: Suite, case: Case) -> Result:
    caller, workload = _caller(mesh, case)
    served = _hinted(mesh, case, caller, _served(mesh, case, caller, workload))
    view = _View(mesh, case, _with_waypoint(mesh, case, caller, workload), served)
    rule, at = _taken_by(served)
    return Result(suite, case, _spelled_request(case), rule, at, tuple(view.checks(suite)))


# -- the request ---------------------------------------------------------------------------------------


def _unknown_source(mesh: Mesh, suite: Suite, case: Case) -> Complaint | None:
    source = case.request.get("source")
    if not isinstance(source, str) or _workloads(mesh, source):
        return None
    near = closest(source, {f"{w.namespace}/{w.name}" for w in mesh.workloads.all})
    hint = f"; did you mean {near!r}?" if near else ""
    message = f"source: no workload {source!r} is in the manifests{hint}"
    return suite.complaint(case.node.get("source") or case.node, message)


def _workloads(mesh: Mesh, name: str) -> list[Workload]:
    namespace, _, short = name.partition("/")
    return [w for w in mesh.workloads.within(namespace) if w.name == short]


def _caller(mesh: Mesh, case: Case) -> tuple[Caller, Workload | None]:
    source = case.request.get("source")
    token = _token(case.request.get("token"))
    if isinstance(source, str):
        workload = _workloads(mesh, source)[0]
        peer = mesh.access.peer_of(workload)
        return Caller(workload.namespace, workload.labels, peer, token), workload
    if isinstance(source, dict):
        namespace = source["namespace"]
        account = source.get("serviceAccount", "default")
        peer = mesh.access.peer(namespace, account) if source.get("mesh", True) else PLAIN
        return Caller(namespace, source.get("labels", {}), peer, token), None
    return Caller(token=token), None


def _token(data: Any) -> Token | None:
    if not isinstance(data, dict):
        return None
    named = {"iss": data["issuer"], "sub": data.get("subject"), "aud": data.get("audiences")}
    known = {name: value for name, value in named.items() if value is not None}
    claims = claims_of({**known, **data["claims"]}) if "claims" in data else None
    return Token(data["issuer"], data.get("subject"), tuple(data.get("audiences", ())), claims)


def _sent(case: Case) -> tuple[HttpRequest, str]:
    """The request, and its host without port."""
    request = case.request
    host, _, port = request["host"].partition(":")
    headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
    return HttpRequest(
        authority=request["host"],
        target=request.get("path", "/"),
        method=request.get("method", "GET"),
        scheme=request.get("scheme", ""),
        headers=tuple(headers.items()),
        port=request.get("port") or (int(port) if port.isdigit() else None),
    ), host


def _served(mesh: Mesh, case: Case, caller: Caller, workload: Workload | None) -> Fact[Served]:
    request, host = _sent(case)
    gateway = case.request.get("gateway")
    if gateway is not None:
        namespace, _, name = gateway.partition("/")
        request = replace(request, claims=_claims(mesh, caller.token, namespace, name))
        return mesh.matching.at_gateway(request, host, namespace, name)
    if caller.peer is None and workload is not None:
        return Fact.missing(f"whether {workload.title} is in the mesh is not in the input")
    if caller.peer is PLAIN:
        return mesh.matching.directly(request, host, caller.namespace)
    if workload is not None and mesh.data_planes.of(workload).is_(DataPlane.AMBIENT):
        return _through_waypoint(mesh, request, host, caller)
    sidecar: Fact[Sidecar | None] = (
        mesh.sidecars.of(workload)
        if workload is not None
        else mesh.sidecars.of_pod(caller.namespace, caller.labels or {})
    )
    if not sidecar.known:
        return Fact.missing(sidecar.reason, *sidecar.because)
    sender = Sender(caller.namespace, caller.labels)
    return mesh.matching.in_mesh(request, host, sender, sidecar.value)


def _claims(mesh: Mesh, token: Token | None, namespace: str, name: str) -> Claims | None:
    """The claims that a gateway routes by: of tokens that it reads."""
    if token is None:
        return ()
    proxies = [p for g in mesh.gateways.find(namespace, name) for p in mesh.exposures.proxies_of(g)]
    reads = bool(proxies) and all(mesh.authn.rules_of(proxy) for proxy in proxies)
    return token.claims if reads else None


def _through_waypoint(mesh: Mesh, request: HttpRequest, host: str, caller: Caller) -> Fact[Served]:
    """In the ambient mesh the waypoint of the service reads the request, if there is one."""
    services = mesh.matching.callees(host, caller.namespace)
    if not services:
        return Fact.missing(f"the host {host} is not in the input")
    waypoint = mesh.ambient.waypoint_of_service(services[0].resource)
    if not waypoint.known:
        return Fact.missing(waypoint.reason, *waypoint.because)
    if waypoint.value is None or waypoint.value.broken:
        return mesh.matching.directly(request, host, caller.namespace)
    return mesh.matching.in_mesh(request, services[0].host, Sender(waypoint.value.namespace))


def _with_waypoint(mesh: Mesh, case: Case, caller: Caller, workload: Workload | None) -> Caller:
    """A caller in the ambient mesh whose request the waypoint of the service routes that it names."""
    if workload is None or not mesh.data_planes.of(workload).is_(DataPlane.AMBIENT):
        return caller
    services = mesh.matching.callees(_sent(case)[1], caller.namespace)
    named = next((s for s in services[:1] if mesh.access.waypoint_of(s) is not None), None)
    return replace(caller, named=named)


def _hinted(mesh: Mesh, case: Case, caller: Caller, served: Fact[Served]) -> Fact[Served]:
    """A gateway or host that nothing has may be a slip: the nearest one that there is."""
    if served.known:
        return served
    gateway, host = case.request.get("gateway"), _sent(case)[1]
    if gateway is not None:
        known = {f"{g.namespace}/{g.name}" for g in mesh.gateways.all}
        near = closest(gateway, known) if gateway not in known else None
    elif mesh.matching.callees(host, caller.namespace):
        near = None
    else:
        near = closest(host, _hosts(mesh, caller.namespace))
    hint = f"; did you mean {near!r}?" if near else ""
    return Fact.missing(served.reason + hint, *served.because)


def _hosts(mesh: Mesh, namespace: str) -> set[str]:
    """Hosts of services as a client of a namespace may write them."""
    found = {service.host for service in mesh.registry.services}
    named = [s for s in mesh.registry.services if s.kind in ("service", "headless")]
    found |= {f"{service.name}.{service.namespace}" for service in named}
    return found | {service.name for service in named if service.namespace == namespace}


def _spelled_request(case: Case) -> str:
    request = case.request
    port = f":{request['port']}" if "port" in request else ""
    scheme = f"{request['scheme']}://" if "scheme" in request else ""
    url = f"{request.get('method', 'GET')} {scheme}{request['host']}{port}{request.get('path', '/')}"
    headers = "".join(f", {name}: {value}" for name, value in request.get("headers", {}).items())
    source = request.get("source")
    if "gateway" in request:
        return f"{url}{headers}, through the gateway {request['gateway']}"
    if isinstance(source, dict):
        source = f"a pod of {source['namespace']}"
    return f"{url}{headers}, from {source}"


def _taken_by(served: Fact[Served]) -> tuple[str, Line | None]:
    if not served.known:
        return f"unknown: {served.reason}", None
    found = served.value
    if found.route is not None:
        name = _name(found)
        return found.route.title + (f", rule {name}" if name else ""), _at(found.place)
    words = {
        Way.SERVICE: "no rule is for it",
        Way.HTTPS: "the server redirects to https",
        Way.NOWHERE: served.reason or "no server or route is for the host",
    }
    return words[found.way], _at(found.place)


def _name(served: Served) -> str:
    return (text_of(served.route.node.get("name")) or "") if served.route is not None else ""


# -- what is expected ----------------------------------------------------------------------------------


class _View:
    """The answers about one request, compared key by key."""

    def __init__(self, mesh: Mesh, case: Case, caller: Caller, served: Fact[Served]) -> None:
        self.mesh = mesh
        self.case = case
        self.caller = caller
        self.served = served
        self.outcomes = Outcomes(mesh)

    def checks(self, suite: Suite) -> Iterator[Check]:
        for key, (node, _) in self.case.expect.index.items():
            wanted = self.case.plain[key]
            actual: _Actual = getattr(self, f"_{_snake(key)}")(wanted)
            yield Check(key, spelled(wanted), suite.line(node), actual.text, actual.at, actual.passed)

    def _rule(self, wanted: str) -> _Actual:
        def named(served: Served) -> str:
            return _name(served) or ("a rule without a name" if served.way is Way.RULE else NONE)

        return self._plainly(wanted, named, wanted.__eq__)

    def _not_found(self, wanted: bool) -> _Actual:
        return self._plainly(
            wanted,
            lambda served: "true" if served.way is Way.NOWHERE else "false",
            lambda text: text == spelled(wanted),
        )

    def _destination(self, wanted: Any) -> _Actual:
        entry = _destination_of(wanted)
        return self._compared(
            wanted, self.outcomes.shares, spelled_shares, lambda shares: self._all_go(shares, entry)
        )

    def _destinations(self, wanted: list[dict[str, Any]]) -> _Actual:
        return self._compared(
            wanted, self.outcomes.shares, spelled_shares, lambda shares: self._each_goes(shares, wanted)
        )

    def _timeout(self, wanted: str) -> _Actual:
        def fits(timeout: Timeout) -> bool:
            limit = timeout.limit if timeout.applies else None
            return limit == (None if wanted == NONE else go_duration(wanted))

        return self._compared(wanted, self.outcomes.timeout, spelled_timeout, fits)

    def _retries(self, wanted: Any) -> _Actual:
        return self._compared(
            wanted, self.outcomes.retries, spelled_retry, lambda retry: _retry_fits(retry, wanted)
        )

    def _rewrite(self, wanted: Any) -> _Actual:
        def words(seen: Rewritten) -> str:
            return NONE if seen == self._unchanged() else f"path {seen.path}, host {seen.host}"

        def fits(seen: Rewritten) -> bool:
            if wanted == NONE:
                return seen == self._unchanged()
            return all(getattr(seen, key) == value for key, value in wanted.items())

        return self._compared(wanted, rewrite, words, fits)

    def _redirect(self, wanted: Any) -> _Actual:
        return self._compared(wanted, redirect, spelled_redirect, lambda found: _fields_fit(found, wanted))

    def _direct_response(self, wanted: Any) -> _Actual:
        return self._compared(
            wanted,
            self.outcomes.direct_response,
            spelled_response,
            lambda found: _fields_fit(found, wanted),
        )

    def _fault(self, wanted: Any) -> _Actual:
        return self._compared(wanted, fault, spelled_fault, lambda found: _fault_fits(found, wanted))

    def _access(self, wanted: str) -> _Actual:
        def answer(served: Served) -> Fact[Access]:
            found = self.outcomes.access(served, self.caller)
            if found.is_(Access.SOME):
                reason = "a policy asks for something that the test does not say"
                return Fact.missing(reason, *found.because)
            return found

        return self._compared(wanted, answer, _ACCESS.__getitem__, lambda found: _ACCESS[found] == wanted)

    # -- how answers are compared -------------------------------------------------------------------------

    def _compared(
        self,
        wanted: Any,
        answer: Callable[[Served], Fact[T]],
        spelled: Callable[[T], str],
        fits: Callable[[T], bool],
    ) -> _Actual:
        fact = answer(self.served.value) if self.served.known else None
        if fact is None or not fact.known:
            reason = (fact or self.served).reason
            places = (fact or self.served).because
            return _Actual(f"unknown: {reason}", _lines(places), wanted == UNKNOWN)
        passed = wanted != UNKNOWN and fits(fact.value)
        why = f" ({fact.reason})" if fact.reason and not passed and isinstance(fact.value, Access) else ""
        return _Actual(spelled(fact.value) + why, _lines(fact.because), passed)

    def _plainly(self, wanted: Any, spelled: Callable[[Served], str], fits: Callable[[str], bool]) -> _Actual:
        if not self.served.known:
            return _Actual(f"unknown: {self.served.reason}", _lines(self.served.because), wanted == UNKNOWN)
        text = spelled(self.served.value)
        return _Actual(text, _lines((self.served.value.place,)), fits(text))

    def _unchanged(self) -> Rewritten:
        request = self.served.value.request
        return Rewritten(request.authority, request.path)

    def _all_go(self, shares: tuple[Share, ...], entry: dict[str, Any]) -> bool:
        fitting = [share for share in shares if self._goes(share, entry)]
        if "weight" in entry:
            return _close(sum(share.percent for share in fitting), entry["weight"])
        return bool(shares) and len(fitting) == len(shares)

    def _each_goes(self, shares: tuple[Share, ...], wanted: list[dict[str, Any]]) -> bool:
        left = list(shares)
        for entry in wanted:
            found = next((s for s in left if self._goes(s, entry) and self._weighs(s, entry)), None)
            if found is None:
                return False
            left.remove(found)
        return not left

    def _goes(self, share: Share, entry: dict[str, Any]) -> bool:
        if "subset" in entry and entry["subset"] != share.subset:
            return False
        if "port" in entry and entry["port"] != share.port:
            return False
        registry = self.mesh.registry
        namespace = share.place.resource.ns
        host = entry["host"]
        return share.host in (host, registry.resolve(host, namespace), f"{host}.svc.{registry.domain}")

    @staticmethod
    def _weighs(share: Share, entry: dict[str, Any]) -> bool:
        return "weight" not in entry or _close(share.percent, entry["weight"])


def _destination_of(wanted: Any) -> dict[str, Any]:
    """``host`` or ``host:port`` in its long form."""
    if isinstance(wanted, dict):
        return wanted
    host, _, port = str(wanted).partition(":")
    return {"host": host, "port": int(port)} if port.isdigit() else {"host": str(wanted)}


def _retry_fits(retry: Retry, wanted: Any) -> bool:
    attempts = retry.attempts if retry.applies else 0
    if not isinstance(wanted, dict):
        return attempts == (0 if wanted == NONE else wanted)
    if attempts != wanted["attempts"]:
        return False
    if "perTryTimeout" in wanted and go_duration(wanted["perTryTimeout"]) != retry.per_try:
        return False
    conditions = {part.strip() for part in wanted.get("retryOn", "").split(",")}
    return "retryOn" not in wanted or conditions == set(retry.retry_on)


def _fields_fit(found: Redirect | DirectResponse | None, wanted: Any) -> bool:
    if wanted == NONE:
        return found is None
    return found is not None and all(getattr(found, key) == value for key, value in wanted.items())


def _fault_fits(found: Fault, wanted: Any) -> bool:
    if wanted == NONE:
        return found == Fault()
    fits = [bool(found.abort) is ("abort" in wanted), bool(found.delay) is ("delay" in wanted)]
    if "abort" in wanted:
        fits.append(found.abort == str(wanted["abort"]))
    if "delay" in wanted:
        fits.append(found.delay == go_duration(wanted["delay"]))
    if "abortPercent" in wanted:
        fits.append(_close(found.abort_percent, wanted["abortPercent"]))
    if "delayPercent" in wanted:
        fits.append(_close(found.delay_percent, wanted["delayPercent"]))
    return all(fits)


def _close(a: float, b: float) -> bool:
    return abs(a - b) < 0.05


def _lines(places: Iterable[Place]) -> tuple[Line, ...]:
    return tuple(dict.fromkeys(map(_at, places)))[:3]


def _at(place: Place) -> Line:
    location = locate(place)
    return Line(location.file, location.start_line)


def _snake(key: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
