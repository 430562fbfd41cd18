"""Who may call a port of a service, and which line decides? (spec security 5; traffic 1.11)

Callers are taken together as far as the policies cannot tell them apart: service accounts and namespaces
that a policy, a DestinationRule of the client's side or nothing mentions. So the cost of a port hangs on
what its own policies say, not on how many workloads there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.access import PLAIN, Access
from meshlint.mesh.attachment import proxy_of
from meshlint.mesh.authz import Action, Peer, Policy, Predicate, Request, Rule, rule_matches
from meshlint.mesh.destination_rules import ELSEWHERE, DestinationRule
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex
from meshlint.mesh.strings import glob, matches_string
from meshlint.records import dataclass
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service, ServicePort
    from meshlint.mesh.sidecars import Sidecar
    from meshlint.mesh.workloads import Workload
    from meshlint.resources import Place

#: a name that no manifest has: stands for all namespaces and accounts that nothing mentions
_NOBODY: Final = "zz~other"
_MOST_SHOWN: Final = 3

Identity = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Callers:
    """Workloads that are treated alike. `kind` is account, namespace, others, plain or unsure.

    account: a service account, `name` is namespace/name. namespace: what else runs in the namespace `name`.
    others: all other workloads of the mesh. plain: whoever has no certificate of the mesh. unsure: workloads
    of which the input does not show whether they are in the mesh. `workloads` are those of the input, a few
    of them for others; `count` is how many they are.
    """

    kind: str
    name: str
    workloads: tuple[Workload, ...]
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """What one or several groups of callers meet. `requests` says which are meant where only some pass."""

    callers: tuple[Callers, ...]
    access: Fact[Access]
    requests: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A workload behind a port of a service; `port` is the container's, None where it is not known."""

    workload: Workload
    port: int | None
    calls: tuple[Calls, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Sidecars that do not import a service: one of them, and how many more say the same."""

    sidecar: Sidecar
    more: int


class CallGraph:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._answers: dict[tuple[object, ...], tuple[Calls, ...]] = {}
        self._matching: dict[tuple[str, str], tuple[Identity, ...]] = {}

    def to(self, service: Service, port: ServicePort) -> list[Target]:
        """The workloads behind a port, each with who may call it."""
        found = []
        for workload in self.mesh.registry.workloads_of(service):
            target = self.mesh.registry.target_port(service, port, workload)
            number = target.value if target.known else None
            found.append(Target(workload, number, self._calls(service, port, workload, number)))
        return found

    def unseen(self, service: Service) -> list[Unseen]:
        """Sidecar resources that keep the service from their pods; of those with equal egress one."""
        own = [s for s in self.mesh.sidecars.by_namespace.get(service.namespace, ()) if s.egress is not None]
        found = [Unseen(s, 0) for s in own if not self.mesh.sidecars.reaches(s, service)]
        for egress, alike in self._alike.items():
            elsewhere = next((s for s in alike if s.namespace != service.namespace), None)
            if elsewhere is not None and not self.mesh.sidecars.reaches(elsewhere, service):
                found.append(Unseen(elsewhere, len(alike) - sum(_egress(s) == egress for s in own) - 1))
        return found

    # -- groups of callers ------------------------------------------------------------------------------

    def _calls(
        self, service: Service, port: ServicePort, workload: Workload, target: int | None
    ) -> tuple[Calls, ...]:
        gates = self.mesh.jwt.gates(proxy_of(workload))
        policies = [p for gate in gates for p in gate.policies if p.action is not Action.AUDIT]
        rules = self._client_rules.covering(service.host)
        key = (
            tuple(map(id, policies)), tuple(gate.unsure for gate in gates), workload.namespace, target,
            port.opaque, self.mesh.mtls.mode(workload, target), self.mesh.data_planes.of(workload),
            id(service) if rules or self._special(service) else service.kind,
        )  # fmt: skip
        known = self._answers.get(key)
        if known is None:
            judge = _Judge(self.mesh, service, port, workload, target, policies)
            groups = self._groups(policies, {rule.namespace for rule in rules})
            known = self._answers[key] = _merged((group, judge.of(group)) for group in groups)
        return known

    def _special(self, service: Service) -> bool:
        """May the way to the service itself decide: its waypoint, or that it has no load balancing?"""
        waypoint = self.mesh.ambient.waypoint_of_service(service.resource)
        if waypoint.known:
            return waypoint.value is not None or service.kind == "headless"
        return self.mesh.ambient.installed.is_(True) or service.kind == "headless"

    def _groups(self, policies: list[Policy], namespaces: set[str]) -> Iterator[Callers]:
        """From the ones that are told apart most finely to the rest."""
        accounts, mentioned = self._mentioned(policies)
        mentioned |= namespaces
        inside = 0
        for identity in sorted(accounts):
            pods = tuple(self._by_identity.get(identity, ()))
            inside += len(pods)
            yield Callers("account", "/".join(identity), pods, len(pods))
        for namespace in sorted(mentioned):
            pods = tuple(
                w
                for w in self._by_namespace.get(namespace, ())
                if (w.namespace, w.service_account) not in accounts
            )
            inside += len(pods)
            yield Callers("namespace", namespace, pods, len(pods))
        yield Callers("others", "", (), len(self._members[True]) - inside)
        outside = self._members[False]
        yield Callers("plain", "", tuple(outside[:_MOST_SHOWN]), len(outside))
        unsure = self._members[None]
        if unsure:
            yield Callers("unsure", "", tuple(unsure[:_MOST_SHOWN]), len(unsure))

    def _mentioned(self, policies: list[Policy]) -> tuple[set[Identity], set[str]]:
        """Service accounts and namespaces that the policies tell from others."""
        accounts: set[Identity] = set()
        namespaces: set[str] = set()
        for policy in policies:
            for rule in policy.rules:
                for predicate in rule.predicates:
                    if predicate.identity:
                        self._add(policy, predicate, accounts, namespaces)
        return accounts, namespaces

    def _add(
        self, policy: Policy, predicate: Predicate, accounts: set[Identity], namespaces: set[str]
    ) -> None:
        for value in (v.text for v in (*predicate.values, *predicate.nots)):
            if is_placeholder(value) or value == "*":
                continue
            if predicate.field == "namespaces":
                if "*" in value:
                    namespaces.update(ns for ns in self._by_namespace if glob(value, ns))
                else:
                    namespaces.add(value)
            elif predicate.field == "serviceAccounts":
                namespace, slash, name = value.rpartition("/")
                accounts.add((namespace if slash else policy.namespace, name))
            elif predicate.field == "principals":
                accounts.update(self._principals(value))

    def _principals(self, value: str) -> Iterable[Identity]:
        """Service accounts that a principal means; for a pattern those of the input."""
        parts = value.split("/")
        if "*" not in (value[:1], value[-1:]):
            return [(parts[2], parts[4])] if len(parts) == 5 else []
        domain = self.mesh.config.trust_domain.or_else("cluster.local")
        key = (value, domain)
        if key not in self._matching:
            self._matching[key] = tuple(
                (namespace, account)
                for namespace, account in self._by_identity
                if matches_string(value, f"{domain}/ns/{namespace}/sa/{account}")
            )
        return self._matching[key]

    # -- indexes ----------------------------------------------------------------------------------------

    @cached_property
    def _members(self) -> dict[bool | None, list[Workload]]:
        """Workloads of the input by whether they are in the mesh."""
        found: dict[bool | None, list[Workload]] = {True: [], False: [], None: []}
        for workload in self.mesh.workloads.all:
            if not workload.partial and not workload.control_plane:
                found[self.mesh.data_planes.in_mesh(workload)].append(workload)
        return found

    @cached_property
    def _by_identity(self) -> dict[Identity, list[Workload]]:
        index: dict[Identity, list[Workload]] = defaultdict(list)
        for workload in self._members[True]:
            index[workload.namespace, workload.service_account].append(workload)
        return dict(index)

    @cached_property
    def _by_namespace(self) -> dict[str, list[Workload]]:
        index: dict[str, list[Workload]] = defaultdict(list)
        for workload in self._members[True]:
            index[workload.namespace].append(workload)
        return dict(index)

    @cached_property
    def _client_rules(self) -> HostIndex[DestinationRule]:
        """All DestinationRules by host: whose namespace may send something else than the rest."""
        index: HostIndex[DestinationRule] = HostIndex()
        for rule in self.mesh.destination_rules.all:
            index.add(rule.host, rule)
        return index

    @cached_property
    def _alike(self) -> dict[tuple[object, ...], list[Sidecar]]:
        """Sidecars by what they import."""
        groups: dict[tuple[object, ...], list[Sidecar]] = defaultdict(list)
        for sidecar in self.mesh.sidecars.all:
            if sidecar.egress is not None:
                groups[_egress(sidecar)].append(sidecar)
        return dict(groups)


class _Judge:
    """One port of one workload, asked for group after group."""

    def __init__(
        self,
        mesh: Mesh,
        service: Service,
        port: ServicePort,
        workload: Workload,
        target: int | None,
        policies: list[Policy],
    ) -> None:
        self.mesh = mesh
        self.service = service
        self.port = port
        self.workload = workload
        self.target = target
        self.policies = policies

    def of(self, callers: Callers) -> tuple[Fact[Access], str]:
        """What the group meets, and for which requests that holds where it differs."""
        if callers.kind == "unsure":
            return self._unsure(), ""
        fact, seen = self._access(self._peer(callers), callers)
        return self._in_part(fact, seen) if fact.is_(Access.SOME) else (fact, "")

    def _unsure(self) -> Fact[Access]:
        """Callers that may or may not be in the mesh: the answer if both would get the same."""
        inside, _ = self._access(self.mesh.access.peer(_NOBODY, _NOBODY), None)
        outside, _ = self._access(PLAIN, None)
        if inside.known and outside.known and inside.value is outside.value:
            return inside
        if not inside.known and not outside.known and inside.reason == outside.reason:
            return inside
        return Fact.missing("whether they are in the mesh is not in the input")

    def _peer(self, callers: Callers) -> Peer:
        if callers.kind == "plain":
            return PLAIN
        namespace, _, account = callers.name.partition("/")
        return self.mesh.access.peer(namespace or _NOBODY, account or _NOBODY)

    def _access(self, peer: Peer, callers: Callers | None) -> tuple[Fact[Access], Request]:
        namespace = callers.name.partition("/")[0] if callers is not None else ""
        number = self.port.number
        broken, peer = self.mesh.access.sent(
            peer, namespace or ELSEWHERE, self.service, number, self.workload
        )
        request = Request(
            port=self.target,
            peer=peer,
            http=not self.port.opaque,
            trust_domains=self.mesh.access.trust_domains(),
        )
        if broken is not None and broken.known:
            return broken, request
        return self.mesh.access.to(self.workload, self.target, request, self.service), request

    def _in_part(self, fact: Fact[Access], request: Request) -> tuple[Fact[Access], str]:
        """The rules that single out requests of this caller, and which requests those are."""
        admitted: dict[str, Place] = {}
        kept: dict[str, Place] = {}
        for policy in self.policies:
            for rule in policy.rules:
                if rule_matches(rule, request, policy) is None:
                    listed = kept if policy.action is Action.DENY else admitted
                    listed.setdefault(_spelled_rule(rule), policy.resource.place(rule.node))
        words = ["; ".join(admitted)] if admitted else []
        words += [f"but not {'; '.join(kept)}"] if kept else []
        places = (*kept.values(), *admitted.values())
        titles = ", ".join(dict.fromkeys(place.resource.title for place in places))
        return Fact.of(Access.SOME, *places, reason=titles, certain=fact.certain), ", ".join(words)


def _egress(sidecar: Sidecar) -> tuple[object, ...]:
    return tuple((e.namespace, e.host, e.exclude) for e in sidecar.egress or ())


def _spelled_rule(rule: Rule) -> str:
    """What a rule asks for besides the caller's identity, in the words of its fields."""
    operations = " or ".join(_spelled(clause.predicates) for clause in rule.operations or ())
    sources = [p for clause in rule.sources or () for p in clause.predicates if not p.identity]
    others = _spelled([*sources, *(p for p in rule.conditions if not p.identity)])
    return " with ".join(part for part in (operations, others) if part)


def _spelled(predicates: Iterable[Predicate]) -> str:
    return ", ".join(
        f"{'not ' if negated else ''}{p.field} {' '.join(v.text for v in values)}"
        for p in predicates
        for negated, values in ((False, p.values), (True, p.nots))
        if values
    )


def _merged(answers: Iterable[tuple[Callers, tuple[Fact[Access], str]]]) -> tuple[Calls, ...]:
    """Groups with the same answer for the same reason, in order of the first of them."""
    found: dict[tuple[object, ...], list[Callers]] = defaultdict(list)
    facts: dict[tuple[object, ...], tuple[Fact[Access], str]] = {}
    for callers, (fact, requests) in answers:
        value = fact.value if fact.known else None
        places = tuple(id(place.node) for place in fact.because)
        key = (fact.state, value, fact.reason, places, requests)
        found[key].append(callers)
        facts[key] = (fact, requests)
    return tuple(Calls(tuple(groups), *facts[key]) for key, groups in found.items())
