"""The request of a test -> who sends it, and which rule takes it.

What many tests share, such as their callers, is asked once for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from meshlint.mesh.authz import PLAIN, Token
from meshlint.mesh.claims import Claims, claims_of
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.matches import HttpRequest, Sender
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.passages import Caller
from meshlint.mesh.served import Served
from meshlint.mesh.sidecars import Sidecar
from meshlint.mesh.workloads import Workload
from meshlint.meshtest.files import Case
from meshlint.meshtest.slips import Slips
from meshlint.records import dataclass

#: asks for the rule that takes a request to a host
_Ask = Callable[[HttpRequest, str], Fact[Served]]


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A request on its way. `caller` is who the proxies behind the rule see."""

    caller: Caller
    served: Fact[Served]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Who calls, and how its requests are routed."""

    caller: Caller
    ask: _Ask
    ambient: bool = False


class Requests:
    def __init__(self, mesh: Mesh, slips: Slips) -> None:
        self.mesh = mesh
        self.slips = slips
        self._sources: dict[str, _Source] = {}

    def problem(self, case: Case) -> str | None:
        """Why a test cannot be run: it names a workload that does not exist."""
        source = case.request.get("source")
        if not isinstance(source, str) or source in self._workloads:
            return None
        near = self.slips.near(source, "workload", lambda: self._workloads)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"source: no workload {source!r} is in the manifests{hint}"

    def send(self, case: Case) -> Sent:
        request, host = _sent(case)
        token = _token(case.request.get("token"))
        gateway = case.request.get("gateway")
        if gateway is not None:
            served = self._at_gateway(gateway, request, host, token)
            return Sent(Caller(token=token), self._hinted(case, "", served))
        written = case.request["source"]
        key = written if isinstance(written, str) else repr(written)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = self._source(written)
        caller = source.caller if token is None else replace(source.caller, token=token)
        served = self._hinted(case, caller.namespace, source.ask(request, host))
        if source.ambient:
            caller = self._with_waypoint(caller, host)
        return Sent(caller, served)

    # -- from outside -----------------------------------------------------------------------------------

    def _at_gateway(self, gateway: str, request: HttpRequest, host: str, token: Token | None) -> Fact[Served]:
        namespace, _, name = gateway.partition("/")
        claims = self._claims(token, namespace, name)
        return self.mesh.matching.at_gateway(replace(request, claims=claims), host, namespace, name)

    def _claims(self, token: Token | None, namespace: str, name: str) -> Claims | None:
        """The claims that a gateway routes by: of tokens that it reads."""
        if token is None:
            return ()
        gateways = self.mesh.gateways.find(namespace, name)
        proxies = [p for g in gateways for p in self.mesh.exposures.proxies_of(g)]
        reads = bool(proxies) and all(self.mesh.authn.rules_of(proxy) for proxy in proxies)
        return token.claims if reads else None

    # -- from inside ------------------------------------------------------------------------------------

    def _source(self, written: Any) -> _Source:
        if isinstance(written, str):
            workload = self._workloads[written][0]
            caller = Caller(workload.namespace, workload.labels, self.mesh.access.peer_of(workload))
            return self._of_workload(workload, caller)
        namespace, account = written["namespace"], written.get("serviceAccount", "default")
        peer = self.mesh.access.peer(namespace, account) if written.get("mesh", True) else PLAIN
        caller = Caller(namespace, written.get("labels", {}), peer)
        if peer is PLAIN:
            return _Source(caller, self._directly(namespace))
        return _Source(caller, self._by(caller, self.mesh.sidecars.of_pod(namespace, caller.labels or {})))

    def _of_workload(self, workload: Workload, caller: Caller) -> _Source:
        if caller.peer is None:
            unknown = f"whether {workload.title} is in the mesh is not in the input"
            return _Source(caller, lambda _, __: Fact.missing(unknown))
        if caller.peer is PLAIN:
            return _Source(caller, self._directly(caller.namespace))
        if self.mesh.data_planes.of(workload).is_(DataPlane.AMBIENT):
            return _Source(caller, lambda r, h: self._through_waypoint(r, h, caller), ambient=True)
        return _Source(caller, self._by(caller, self.mesh.sidecars.of(workload)))

    def _directly(self, namespace: str) -> _Ask:
        return lambda request, host: self.mesh.matching.directly(request, host, namespace)

    def _by(self, caller: Caller, sidecar: Fact[Sidecar | None]) -> _Ask:
        if not sidecar.known:
            return lambda _, __: Fact.missing(sidecar.reason, *sidecar.because)
        sender, own = Sender(caller.namespace, caller.labels), sidecar.value
        return lambda request, host: self.mesh.matching.in_mesh(request, host, sender, own)

    def _through_waypoint(self, request: HttpRequest, host: str, caller: Caller) -> Fact[Served]:
        """In the ambient mesh the waypoint of the service reads the request, if there is one."""
        mesh = self.mesh
        services = mesh.matching.callees(host, caller.namespace)
        if not services:
            return Fact.missing(f"the host {host} is not in the input")
        waypoint = mesh.ambient.waypoint_of_service(services[0].resource)
        if not waypoint.known:
            return Fact.missing(waypoint.reason, *waypoint.because)
        if waypoint.value is None or waypoint.value.broken:
            return mesh.matching.directly(request, host, caller.namespace)
        return mesh.matching.in_mesh(request, services[0].host, Sender(waypoint.value.namespace))

    def _with_waypoint(self, caller: Caller, host: str) -> Caller:
        """A caller in the ambient mesh whose request the waypoint of the service routes that it names."""
        services = self.mesh.matching.callees(host, caller.namespace)
        named = next((s for s in services[:1] if self.mesh.access.waypoint_of(s) is not None), None)
        return replace(caller, named=named)

    # -- slips ------------------------------------------------------------------------------------------

    def _hinted(self, case: Case, namespace: str, served: Fact[Served]) -> Fact[Served]:
        """A gateway or host that nothing has may be a slip: the nearest one that there is."""
        if served.known:
            return served
        gateway = case.request.get("gateway")
        if gateway is not None:
            near = self.slips.gateway(gateway)
        else:
            host = case.request["host"].partition(":")[0]
            near = None if self.mesh.matching.callees(host, namespace) else self.slips.called(host, namespace)
        hint = f"; did you mean {near!r}?" if near else ""
        return Fact.missing(served.reason + hint, *served.because)

    @cached_property
    def _workloads(self) -> dict[str, list[Workload]]:
        index: dict[str, list[Workload]] = defaultdict(list)
        for workload in self.mesh.workloads.all:
            index[f"{workload.namespace}/{workload.name}"].append(workload)
        return dict(index)


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
