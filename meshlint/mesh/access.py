"""May a caller reach a port of a workload, as far as mutual TLS and AuthorizationPolicies decide?

Spec security 1.9, 3.6, 5.2, 5.9 and 5.11. A request that leaves something open, such as its path, is
allowed, denied, or allowed only for some of the requests that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from meshlint.mesh.attachment import Proxy, ProxyKind, proxy_of
from meshlint.mesh.authz import PLAIN, Action, Decision, Outcome, Peer, Policy, Request
from meshlint.mesh.client_tls import ClientMode, Verdict
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.mtls import Mode
from meshlint.mesh.scope import ISTIO_SECURITY, Evidence
from meshlint.mesh.ztunnel import at_ztunnel

if TYPE_CHECKING:
    from meshlint.mesh.jwt import Gate
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.routes import Route
    from meshlint.mesh.workloads import Workload


class Access(Enum):
    ALLOWED = "allowed"
    SOME = "allowed for some requests"
    DENIED = "denied"
    EXTERNAL = "decided by an external authorizer"


_SENT = {
    ClientMode.PLAIN: "plain text",
    ClientMode.MTLS: "mutual TLS",
    ClientMode.AUTO: "mutual TLS",
    ClientMode.TLS_ONEWAY: "TLS of their own",
    ClientMode.TLS_CUSTOM: "TLS of their own",
}
#: what a chain of proxies answers is the first of these that one of them answers
_STRONGEST = (Access.DENIED, Access.EXTERNAL, Access.SOME, Access.ALLOWED)


class Accesses:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def to(
        self,
        workload: Workload,
        port: int | None,
        request: Request,
        service: Service | None = None,
        before: Request | None = None,
    ) -> Fact[Access]:
        """What a request meets on its way to a container port; `service` is how the caller names it.

        With a service, requests of the mesh go through its waypoint, which sees the request as it is `before`
        the waypoint rewrites it. `request.port` is not looked at.
        """
        waypoint = self._waypoint(service, before or request)
        return in_chain([*waypoint, self._at_workload(workload, port, request, service)])

    def at(self, proxy: Proxy, request: Request) -> Fact[Access]:
        """What one proxy decides by the policies that attach to it."""
        gates = self.mesh.jwt.gates(proxy)
        namespace = proxy.namespace or self.mesh.config.root
        found = self._agreed([self._decided(g.policies, g, request, namespace) for g in gates])
        rules = self.mesh.api_rules.of(proxy.workload) if proxy.workload is not None else []
        return self._with_api_rules(rules, request, found, namespace) if rules else found

    def _with_api_rules(
        self, rules: list[Route], request: Request, found: Fact[Access], namespace: str
    ) -> Fact[Access]:
        """ALLOW policies that Kyma adds: what no policy of the input decides by a rule, they decide."""
        if found.known and found.because and self._by_rule(found):
            return found
        admitted = self.mesh.api_rules.admits(rules, request)
        if not admitted.known:
            return Fact.missing(admitted.reason, *admitted.because)
        allowed = admitted.value.allowed
        access = Access.EXTERNAL if allowed is None else Access.ALLOWED if allowed else Access.DENIED
        closed = self.mesh.jwt.evidence(namespace) is Evidence.CLOSED
        return Fact.of(access, *admitted.because, reason=admitted.reason, certain=closed)

    def _by_rule(self, found: Fact[Access]) -> bool:
        """Is it a rule that matches, and not that none does?"""
        if found.value is not Access.DENIED:
            return True
        return self.mesh.authz.policy(found.because[0].resource).action is not Action.ALLOW

    def trust_domains(self) -> frozenset[str]:
        own, aliases = self.mesh.config.trust_domain, self.mesh.config.trust_domain_aliases
        found = {own.value} if own.known else set()
        return frozenset(found | set(aliases.value or () if aliases.known else ()))

    def peer(self, namespace: str, service_account: str) -> Peer:
        """A caller with a certificate of the mesh."""
        domain = self.mesh.config.trust_domain
        return Peer(True, domain.value if domain.known else None, namespace, service_account)

    def peer_of(self, workload: Workload) -> Peer | None:
        """Who a workload is for the servers that it calls; None: whether it is in the mesh is unknown."""
        inside = self.mesh.data_planes.in_mesh(workload)
        if inside is None:
            return None
        return self.peer(workload.namespace, workload.service_account) if inside else PLAIN

    def sent(
        self,
        peer: Peer,
        namespace: str,
        service: Service,
        port: int,
        workload: Workload,
        *,
        subset: str | None = None,
        labels: dict[str, str] | None = None,
        gateway: bool = False,
    ) -> tuple[Fact[Access] | None, Peer]:
        """What a client's proxy makes of the connection (3.5): a refusal where both ends do not fit.

        Else the peer that the server sees, which has no identity where the client sends plain text.
        """
        if not peer.mtls:
            return None, peer
        client_tls = self.mesh.client_tls
        mode = client_tls.mode(namespace, service, port, subset, labels, gateway=gateway)
        if not mode.known:
            return Fact.missing(mode.reason, *mode.because), peer
        verdict = client_tls.reaches(mode, service, port, workload)
        if verdict.is_(Verdict.BROKEN):
            reason = f"clients send {_SENT[mode.value]}, which the port does not take"
            return Fact.of(Access.DENIED, *verdict.because, reason=reason, certain=verdict.certain), peer
        return None, PLAIN if mode.value is ClientMode.PLAIN else peer

    def _at_workload(
        self, workload: Workload, port: int | None, request: Request, service: Service | None
    ) -> Fact[Access]:
        plane = self.mesh.data_planes.of(workload)
        if not plane.known:
            return Fact(plane.state, None, plane.because, False, plane.reason)
        mode = self.mesh.mtls.mode(workload, port)
        if mode.is_(Mode.PLAINTEXT_ONLY):
            return Fact.of(Access.ALLOWED, *mode.because, reason=mode.reason, certain=mode.certain)
        if request.peer.mtls is False and mode.is_(Mode.STRICT):
            return Fact.of(
                Access.DENIED, *mode.because[:1], reason="takes mutual TLS only", certain=mode.certain
            )
        if mode.is_(Mode.DISABLE):
            request = replace(request, peer=PLAIN)
        answer = self._by_policies(workload, replace(request, port=port), service, plane.value)
        if mode.known or request.peer.mtls is None or answer.is_(Access.DENIED):
            return answer
        if request.peer.mtls and mode.unknown:  # only if mutual TLS were off would the answer be another
            return answer.uncertain()
        return Fact(mode.state, None, mode.because, False, mode.reason)

    def _by_policies(
        self, workload: Workload, request: Request, service: Service | None, plane: DataPlane
    ) -> Fact[Access]:
        if plane is DataPlane.AMBIENT:
            return self._at_ztunnel(workload, request, service)
        return self.at(proxy_of(workload), request)

    def _at_ztunnel(self, workload: Workload, request: Request, service: Service | None) -> Fact[Access]:
        waypoint = self.waypoint_of(service)
        if waypoint is not None and request.peer.mtls:  # clients outside of the mesh do not go through it
            request = replace(request, peer=self.peer(waypoint.namespace, waypoint.gateway))
        request = replace(request, http=False)
        answers = []
        for gate in self.mesh.jwt.gates(proxy_of(workload)):
            policies = [p for policy in gate.policies if (p := at_ztunnel(policy)) is not None]
            answers.append(self._decided(policies, gate, request, workload.namespace))
        return self._agreed(answers)

    def _waypoint(self, service: Service | None, request: Request) -> Iterator[Fact[Access]]:
        if service is None or not request.peer.mtls:
            return
        fact = self.mesh.ambient.waypoint_of_service(service.resource)
        if not fact.known and self.mesh.ambient.installed.is_(True):
            yield Fact.missing(fact.reason, *fact.because)
        proxy = self.waypoint_of(service)
        if proxy is not None:
            entry = replace(request, port=None)
            yield self.at(proxy, entry)

    def waypoint_of(self, service: Service | None) -> Proxy | None:
        if service is None or service.kind == "service-entry":
            return None
        fact = self.mesh.ambient.waypoint_of_service(service.resource)
        if not fact.known or fact.value is None or fact.value.broken:
            return None
        fronted = frozenset({("Service", service.namespace, service.name)})
        found = fact.value
        return Proxy(ProxyKind.WAYPOINT, found.namespace, {}, gateway=found.name, fronted=fronted)

    def _decided(
        self, policies: Iterable[Policy], gate: Gate, request: Request, namespace: str
    ) -> Fact[Access]:
        """One version of the policies, and what their absence elsewhere is worth (5.11)."""
        listed = [p for p in policies if p.action is not Action.AUDIT]
        decision = self.mesh.authz.decide(listed, request)
        if self._final(decision):
            return Fact.of(Access.DENIED, *decision.because, reason=self._reason(decision, listed))
        if gate.unsure:
            return Fact.missing(gate.unsure, *decision.because)
        evidence = self.mesh.jwt.evidence(namespace)
        if not listed and evidence is Evidence.OPEN:
            homes = dict.fromkeys((namespace, self.mesh.config.root))
            where = " and ".join(home for home in homes if self._open(home))
            return Fact.missing(f"no AuthorizationPolicy of {where} is in the input, and there may be some")
        closed = evidence is Evidence.CLOSED
        return Fact.of(
            _access(decision), *decision.because, reason=self._reason(decision, listed), certain=closed
        )

    def _open(self, namespace: str) -> bool:
        return self.mesh.scope.evidence(ISTIO_SECURITY, "AuthorizationPolicy", namespace) is Evidence.OPEN

    def _final(self, decision: Decision) -> bool:
        """Denied by a rule that matches, which no other object can undo."""
        if decision.outcome is not Outcome.DENIED or not decision.certain or not decision.because:
            return False
        return self.mesh.authz.policy(decision.because[0].resource).action is not Action.ALLOW

    def _reason(self, decision: Decision, policies: list[Policy]) -> str:
        if not decision.because:
            return "no ALLOW policy attaches" if policies else "no policy attaches"
        title = decision.because[0].resource.title
        implied = decision.outcome is Outcome.DENIED and not self._final(decision)
        others = f" and {len(decision.because) - 1} more" if len(decision.because) > 1 else ""
        return f"no rule of {title}{others} matches" if implied else title

    @staticmethod
    def _agreed(answers: list[Fact[Access]]) -> Fact[Access]:
        """Versions of one policy have to agree."""
        if len({(a.state, a.value if a.known else None) for a in answers}) == 1:
            return answers[0]
        places = dict.fromkeys(place for answer in answers for place in answer.because)
        return Fact.disputed("alternatives of one policy decide differently", *places)


def in_chain(answers: list[Fact[Access]]) -> Fact[Access]:
    """All proxies in the way have to let a request through; one that a line decides speaks for equals."""
    for answer in answers:
        if answer.is_(Access.DENIED):
            return answer
    for answer in answers:
        if not answer.known:
            return answer
    found = min(answers, key=lambda answer: (_STRONGEST.index(answer.value), not answer.because))
    return found if all(answer.certain for answer in answers) else found.uncertain()


def _access(decision: Decision) -> Access:
    if decision.outcome is Outcome.DENIED:
        return Access.DENIED if decision.certain else Access.SOME
    if not decision.certain:
        return Access.SOME
    return Access.EXTERNAL if decision.outcome is Outcome.EXTERNAL else Access.ALLOWED
