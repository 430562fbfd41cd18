"""Is a token required of the callers of an exposure? (spec security 4.4 probes, 4.6, 4.7)

Policies only compare with equality, prefix, suffix and templates, so that a finite set of requests
shows every difference they make: the probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from itertools import chain, islice
from typing import TYPE_CHECKING

from meshlint.mesh.access import Access
from meshlint.mesh.attachment import Proxy, ProxyKind, proxy_of
from meshlint.mesh.authz import Action, Peer, Policy, Request
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.mtls import Mode
from meshlint.mesh.strings import matches_string, matches_template
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Scalar, mappings, text_of

if TYPE_CHECKING:
    from meshlint.mesh.ambient import Waypoint
    from meshlint.mesh.exposure import Entry, Exposure, Match, Rewrite
    from meshlint.mesh.jwt import Gate
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload

#: a segment that no manifest holds
UNHEARD = "zz~probe"
#: the most requests that are tried for one exposure
LIMIT = 100
_METACHARACTERS = frozenset(".^$*+?{}[]\\|()")


class Requirement(Enum):
    NOT_REQUIRED = "not required"
    REQUIRED = "required"
    EXTERNAL = "external"  #: an external authorizer decides
    BLOCKED = "blocked"  #: nobody passes, with a token or without


_STRONGEST = (Requirement.REQUIRED, Requirement.EXTERNAL, Requirement.BLOCKED)


@dataclass(frozen=True, slots=True)
class Probe:
    """A request from outside, before the gateway rewrites anything; None: any."""

    host: str | None
    path: str | None
    method: str | None


@dataclass(frozen=True, slots=True)
class Covered:
    """What is asked of a probe; `answers` are those of the single proxies in its way, from outside in."""

    probe: Probe
    requirement: Fact[Requirement]
    answers: tuple[tuple[Proxy, Fact[Requirement]], ...] = ()
    entry: Entry | None = None


def coverage_of(mesh: Mesh, exposure: Exposure) -> list[Covered]:
    """The answers for an exposure; [] where no proxy reads the requests."""
    if not exposure.http:
        return []
    if exposure.api_rule is not None:
        declared = _api_rule(exposure, exposure.api_rule)
        if not declared.is_(Requirement.NOT_REQUIRED):
            path = exposure.matches[0].path
            return [Covered(Probe(None, path, None), declared)]
    return list(_Coverage(mesh, exposure).all())


def coverage_of_holders(mesh: Mesh, exposure: Exposure, entry: Entry | None) -> Iterator[Covered]:
    """The same for the requests that rules for holders of tokens tell apart; nothing where no rule asks."""
    return _Coverage(mesh, exposure).of_holders(entry)


def proxies_met(mesh: Mesh, exposure: Exposure) -> list[Proxy]:
    """Every proxy that may read the requests: cheap to tell, and never less than those of the coverage."""
    found = [entry.proxy for entry in exposure.entries]
    service = exposure.service
    if service is not None and service.kind != "service-entry":
        waypoint = mesh.ambient.waypoint_of_service(service.resource)
        if waypoint.known and waypoint.value is not None and not waypoint.value.broken:
            found.append(_fronting(waypoint.value, service))
    if exposure.workload is not None:
        found.append(proxy_of(exposure.workload))
    return found


def _fronting(waypoint: Waypoint, service: Service) -> Proxy:
    fronted = frozenset({("Service", service.namespace, service.name)})
    return Proxy(ProxyKind.WAYPOINT, waypoint.namespace, {}, gateway=waypoint.name, fronted=fronted)


class _Coverage:
    """One exposure, and the proxies in its way."""

    def __init__(self, mesh: Mesh, exposure: Exposure) -> None:
        self.mesh = mesh
        self.exposure = exposure
        self.domains = mesh.jwt.trust_domains
        self.inner = list(self._inner())

    def all(self) -> Iterator[Covered]:
        entries: list[Entry | None] = [*self.exposure.entries] or [None]
        proxies = [e.proxy for e in self.exposure.entries] + [p for p, _ in self.inner]
        gates = [gate for proxy in proxies for gate in self.mesh.jwt.gates(proxy)]
        tried = list(self._probes(gates))
        if any(gate.policies or gate.unsure for gate in gates):
            yield from (self._judge(probe, entry) for probe in tried for entry in entries)
        elif tried:  # nobody looks at the request, so one answer is that of all
            answers = [self._judge(tried[0], entry) for entry in entries]
            for probe in tried:
                for answer in answers:
                    yield Covered(probe, answer.requirement, answer.answers, answer.entry)

    def of_holders(self, entry: Entry | None) -> Iterator[Covered]:
        proxies = [proxy for proxy, _ in self.inner] + ([entry.proxy] if entry is not None else [])
        gates = [gate for proxy in proxies for gate in self.mesh.jwt.gates(proxy)]
        if any(gate.policies != gate.anonymous for gate in gates):
            policies = [policy for gate in gates for policy in gate.policies]
            yield from (self._judge(probe, entry) for probe in islice(probes(self.exposure, policies), LIMIT))

    def _probes(self, gates: list[Gate]) -> Iterator[Probe]:
        closed = any(gate.closed for gate in gates)
        policies = [] if closed else [policy for gate in gates for policy in gate.anonymous]
        yield from islice(probes(self.exposure, policies), LIMIT)

    def _judge(self, probe: Probe, entry: Entry | None) -> Covered:
        answers: list[tuple[Proxy, Fact[Requirement]]] = []
        if entry is not None:
            for port in entry.ports:
                request = Request(
                    probe.host, probe.path, probe.method, port, None, entry.peer,
                    trust_domains=self.domains,
                )  # fmt: skip
                answers.append((entry.proxy, self.mesh.jwt.requires(entry.proxy, request)))
        answers += self._behind(probe, entry)
        combined = self._combined([fact for _, fact in answers], entry)
        return Covered(probe, combined, tuple(answers), entry)

    def _behind(self, probe: Probe, entry: Entry | None) -> Iterator[tuple[Proxy, Fact[Requirement]]]:
        request = rewritten(probe, self.exposure)
        peer = entry.identity if entry is not None else Peer(mtls=False if self._plain else None)
        for proxy, sees_http in self.inner:
            seen = Request(
                request.host, request.path, request.method, self.exposure.port, None, peer,
                http=sees_http, trust_domains=self.domains,
            )  # fmt: skip
            yield proxy, self.mesh.jwt.requires(proxy, seen)

    @property
    def _plain(self) -> bool:
        """Do callers reach the workload itself, so without a certificate of the mesh?"""
        return self.exposure.direct and self.exposure.way in ("Service", "hostPort")

    def _combined(self, facts: list[Fact[Requirement]], entry: Entry | None) -> Fact[Requirement]:
        for requirement in _STRONGEST:
            for fact in facts:
                if fact.is_(requirement):
                    return fact
        blocked = self._blocked(entry)
        if blocked is not None:
            return blocked
        missing = self._missing_evidence()
        unknown = next((fact for fact in facts if not fact.known), None) or missing
        if unknown is not None:
            return unknown
        because = tuple(place for fact in facts for place in fact.because)
        certain = all(fact.certain for fact in facts)
        return Fact.of(Requirement.NOT_REQUIRED, *because, certain=certain)

    def _missing_evidence(self) -> Fact[Requirement] | None:
        exposure = self.exposure
        if exposure.api_rule is not None:
            return None
        if not exposure.entries and not exposure.direct:
            return Fact.missing("the gateway where requests enter is not in the input", exposure.place)
        if exposure.workload is None:
            return Fact.missing("the workload that is exposed is not in the input", exposure.place)
        if exposure.direct and self.mesh.data_planes.in_mesh(exposure.workload) is not True:
            return Fact.missing("the workload may not be part of the mesh", exposure.place)
        return None

    def _blocked(self, entry: Entry | None) -> Fact[Requirement] | None:
        """Nothing passes: plain text before STRICT, or ztunnel drops rules or lets others in only."""
        workload, port = self.exposure.workload, self.exposure.port
        if workload is None:
            return None
        if self._plain:
            mode = self.mesh.mtls.mode(workload, port)
            if mode.is_(Mode.STRICT):
                return Fact.of(Requirement.BLOCKED, *mode.because)
        if self.mesh.data_planes.of(workload).is_(DataPlane.AMBIENT):
            return self._ztunnel(workload) or self._shut_out(workload, entry)
        return None

    def _shut_out(self, workload: Workload, entry: Entry | None) -> Fact[Requirement] | None:
        """Does ztunnel, which sees the identity of the gateway, keep it out?

        A waypoint between the two would be what it sees.
        """
        service = self.exposure.service
        if entry is None or service is None:
            return None
        if not self.mesh.ambient.ingress_uses_waypoint(service.resource).is_(False):
            return None
        request = Request(None, None, None, peer=entry.identity, http=False, trust_domains=self.domains)
        answer = self.mesh.access.to(workload, self.exposure.port, request)
        denied = answer.is_(Access.DENIED) and answer.certain
        return Fact.of(Requirement.BLOCKED, *answer.because) if denied else None

    def _ztunnel(self, workload: Workload) -> Fact[Requirement] | None:
        """Of ALLOW policies only rules without HTTP fields are left (5.9); none left denies all."""
        policies = [
            p
            for p in self.mesh.authz.enforced_at(proxy_of(workload))
            if p.action is Action.ALLOW
        ]  # fmt: skip
        rules = [rule for policy in policies for rule in policy.rules]
        if policies and all(any(p.http_only for p in rule.predicates) for rule in rules):
            return Fact.of(Requirement.BLOCKED, *(p.place for p in policies))
        return None

    def _inner(self) -> Iterator[tuple[Proxy, bool]]:
        """The proxies between the entry and the application, and whether they read HTTP there."""
        exposure, workload = self.exposure, self.exposure.workload
        service = exposure.service
        planes = self.mesh.data_planes
        if service is not None and service.kind != "service-entry":
            waypoint = self.mesh.ambient.waypoint_of_service(service.resource)
            used = self.mesh.ambient.ingress_uses_waypoint(service.resource)
            if used.is_(True) and waypoint.known and waypoint.value is not None and not waypoint.value.broken:
                yield _fronting(waypoint.value, service), True
        if workload is None:
            return
        plane = planes.of(workload)
        if plane.is_(DataPlane.NONE, DataPlane.AMBIENT, DataPlane.WAYPOINT):
            return
        if exposure.port is not None and planes.captures(workload, exposure.port).is_(False):
            return
        yield proxy_of(workload), self._reads_http()

    def _reads_http(self) -> bool:
        service, port = self.exposure.service, self.exposure.port
        if service is None or port is None:
            return True
        workload = self.exposure.workload
        for entry in service.ports:
            if workload is not None and self.mesh.registry.target_port(service, entry, workload).is_(port):
                return not entry.opaque
        return True


def probes(exposure: Exposure, policies: Iterable[Policy]) -> Iterator[Probe]:
    """Requests that show every difference that the policies make for an exposure."""
    known = list(policies)
    literals = {name: _literals(known, name) for name in ("paths", "methods", "hosts")}
    hosts = list(_hosts(exposure.hosts, literals["hosts"]))
    for match in exposure.matches:
        methods = match.methods or _methods(literals["methods"])
        for path in _paths(match, literals["paths"], exposure.rewrite):
            for method in methods:
                for host in hosts:
                    yield Probe(host, path, method)


def rewritten(probe: Probe, exposure: Exposure) -> Probe:
    """The request as it leaves the gateway."""
    rewrite = exposure.rewrite
    if not rewrite.kind and not rewrite.host:
        return probe
    host = rewrite.host or probe.host
    if not rewrite.kind or probe.path is None:
        return replace(probe, host=host)
    if rewrite.kind == "regex":
        return Probe(host, None, probe.method)
    if rewrite.kind == "full":
        return Probe(host, rewrite.path, probe.method)
    for match in exposure.matches:
        if match.kind == "exact" and match.path == probe.path:
            return Probe(host, rewrite.path, probe.method)
        if match.kind in ("prefix", "segments") and probe.path.startswith(match.path):
            return Probe(host, _replaced(match, rewrite, probe.path), probe.method)
    return Probe(host, None, probe.method)


def matched(match: Match, path: str) -> bool | None:
    """Does a route's match take a path? None for regular expressions."""
    match match.kind:
        case "any":
            return True
        case "exact":
            return path == match.path
        case "prefix":
            return path.startswith(match.path)
        case "segments":
            base = match.path.rstrip("/")
            return path == base or path.startswith(base + "/")
        case "template":
            return matches_template(match.path, path)
    return None


def _replaced(match: Match, rewrite: Rewrite, path: str) -> str:
    rest = path[len(match.path) :]
    if match.kind == "segments":
        rest = "/" + rest.lstrip("/") if rest.lstrip("/") else ""
        return rewrite.path.rstrip("/") + rest or "/"
    return rewrite.path + rest


def _paths(match: Match, literals: list[str], rewrite: Rewrite) -> Iterator[str | None]:
    """One at a time, for there may be thousands of literals, and few are tried."""
    if match.kind == "regex":
        yield match.path if not _METACHARACTERS & set(match.path) else None
    elif match.kind == "exact":
        yield match.path
    elif match.kind == "template":
        yield match.path.replace("{**}", f"{UNHEARD}/x").replace("{*}", UNHEARD)
    else:
        seen: set[str] = set()
        for path in _under(match, literals, rewrite):
            if path not in seen:
                seen.add(path)
                yield path


def _under(match: Match, literals: list[str], rewrite: Rewrite) -> Iterator[str]:
    """Paths that a prefix takes: itself, one that nobody has heard of, and those that policies name."""
    base = match.path if match.kind != "any" else "/"
    yield base
    if not literals:
        return
    if match.kind == "prefix" and not base.endswith("/"):
        yield base + UNHEARD
    yield f"{base.rstrip('/')}/{UNHEARD}"
    for literal in literals:
        for sample in _samples(literal):
            for path in (sample, *_before(sample, match, rewrite)):
                if matched(match, path):
                    yield path


def _before(path: str, match: Match, rewrite: Rewrite) -> Iterator[str]:
    """Paths that the gateway rewrites to a path that a policy of the workload names."""
    if rewrite.kind == "prefix" and path.startswith(rewrite.path):
        yield match.path + path[len(rewrite.path) :]


def _samples(literal: str) -> tuple[str, ...]:
    if literal == "*":
        return ()
    if "{" in literal:
        return (literal.replace("{**}", f"{UNHEARD}/x").replace("{*}", UNHEARD),)
    if literal.startswith("*"):
        return (f"/{UNHEARD}{literal[1:]}",)
    if literal.endswith("*"):
        return literal[:-1], literal[:-1] + UNHEARD
    return (literal,)


def _methods(literals: list[str]) -> tuple[str, ...]:
    exact = [text for text in literals if "*" not in text]
    return tuple(dict.fromkeys((*exact, "ZZPROBE"))) if literals else ("GET",)


def _hosts(hosts: tuple[str, ...], literals: list[str]) -> Iterator[str | None]:
    if not hosts or not literals:
        yield None if not hosts else _concrete(hosts[0])
        return
    yield from dict.fromkeys(_concrete(host) for host in hosts)
    for literal in literals:
        plain = _concrete(literal)
        if any("*" in host and matches_string(host, plain) for host in hosts):
            yield plain


def _concrete(host: str) -> str:
    if host.startswith("*"):
        return "zz-probe" + host[1:]
    return host[:-1] + "zz-probe" if host.endswith("*") else host


def _literals(policies: Iterable[Policy], name: str) -> list[str]:
    """All values that policies compare a part of a request with, in order, without repetition."""
    several = [found for policy in policies if (found := policy.literals.get(name))]
    return several[0] if len(several) == 1 else list(dict.fromkeys(chain.from_iterable(several)))


def _api_rule(exposure: Exposure, rule: Mapping) -> Fact[Requirement]:
    """What the access strategy of an APIRule asks for (4.7)."""
    place = exposure.place
    if rule.get("jwt") is not None:
        return Fact.of(Requirement.REQUIRED, place)
    if rule.get("extAuth") is not None:
        return Fact.of(Requirement.EXTERNAL, place)
    anonymous = rule.get("noAuth")
    if isinstance(anonymous, Scalar):
        if anonymous.value is True:
            return Fact.of(Requirement.NOT_REQUIRED, place)
        return Fact.missing("noAuth is not true", place)
    handlers = [text_of(s.get("handler")) or "" for s in mappings(rule.get("accessStrategies"))]
    if handlers and all(h in ("allow", "no_auth", "noop") for h in handlers):
        return Fact.of(Requirement.NOT_REQUIRED, place)
    if "jwt" in handlers:
        return Fact.of(Requirement.REQUIRED, place)
    if handlers and any(handlers):
        return Fact.of(Requirement.EXTERNAL, place)
    return Fact.missing("the rule names no access strategy", place)
