"""Who may call a port of a service, and which line decides? (spec security 5; traffic 1.11)

Callers are taken together as far as the policies cannot tell them apart: service accounts and namespaces
that a policy, a DestinationRule of the client's side or nothing mentions. So the cost of a port hangs on
what its own policies say, not on how many workloads there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from meshlint.mesh.access import Access
from meshlint.mesh.api_rules import ACCOUNT as GATEWAY_ACCOUNT
from meshlint.mesh.attachment import proxy_of
from meshlint.mesh.authz import PLAIN, Action, Peer, Policy, Predicate, Request, Rule, rule_matches
from meshlint.mesh.destination_rules import ELSEWHERE, DestinationRule
from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex, is_wild
from meshlint.mesh.strings import glob
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
_MOST_SHOWN_UNSEEN: Final = 8

K = TypeVar("K")
Identity = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Callers:
    """Workloads that are treated alike. `kind` is accounts, namespaces, others, plain or unsure.

    accounts: service accounts, whose `names` are namespace/name. namespaces: what else runs in the namespaces
    `names`. others: all other workloads of the mesh. plain: whoever has no certificate of the mesh. unsure:
    workloads of which the input does not show whether they are in the mesh. `workloads` are the first few of
    the `count` that the input has.
    """

    kind: str
    names: tuple[str, ...]
    workloads: tuple[Workload, ...]
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class _Mentions:
    """Whom one policy mentions, each with the predicates that do so and how."""

    accounts: dict[Identity, list[object]]
    namespaces: dict[str, list[object]]


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
        self._matching: dict[str, list[Identity]] = {}
        self._mentioned: dict[int, _Mentions] = {}

    def to(self, service: Service, port: ServicePort) -> list[Target]:
        """The workloads behind a port, each with who may call it."""
        found = []
        for workload in self.mesh.registry.workloads_of(service):
            target = self.mesh.registry.target_port(service, port, workload)
            number = target.value if target.known else None
            found.append(Target(workload, number, self._calls(service, port, workload, number)))
        return found

    def unseen(self, service: Service) -> tuple[list[Unseen], int]:
        """Sidecar resources that keep the service from their pods; of those elsewhere with equal egress one.

        These are the first few, and the number tells how many more there are. Only Sidecars that name a
        fitting host are looked at closer.
        """
        own = self._near.get(service.namespace, {})
        near, far = set[int](), set[int]()  # groups that do import it: those beside it, those elsewhere
        for group in self._naming(service):
            if group in own and self.mesh.sidecars.reaches(own[group][0], service):
                near.add(group)
            elsewhere = self._elsewhere(group, service)
            if elsewhere is not None and self.mesh.sidecars.reaches(elsewhere, service):
                far.add(group)
        shown = list(islice(self._without(service, near, far), _MOST_SHOWN_UNSEEN))
        seeing = sum(len(own[g]) for g in near) + sum(len(self._alike[g]) - len(own.get(g, ())) for g in far)
        return shown, sum(map(len, self._alike)) - seeing - sum(1 + one.more for one in shown)

    def _without(self, service: Service, near: set[int], far: set[int]) -> Iterator[Unseen]:
        own = self._near.get(service.namespace, {})
        for sidecar in self.mesh.sidecars.by_namespace.get(service.namespace, ()):
            if sidecar.egress is not None and self._group[id(sidecar)] not in near:
                yield Unseen(sidecar, 0)
        for group, alike in enumerate(self._alike):
            elsewhere = self._elsewhere(group, service) if group not in far else None
            if elsewhere is not None:
                yield Unseen(elsewhere, len(alike) - len(own.get(group, ())) - 1)

    def _elsewhere(self, group: int, service: Service) -> Sidecar | None:
        """One Sidecar of a group that is not beside the service."""
        return next((s for s in self._alike[group] if s.namespace != service.namespace), None)

    def _naming(self, service: Service) -> set[int]:
        """Groups of Sidecars with a host that could let the service in, by itself or by a route to it."""
        wanted = {(service.namespace, service.host)}
        for route in self.mesh.routes.to_service(service):
            owner = route.root.resource if route.root else route.resource
            wanted |= {(owner.ns, host) for host in route.mesh_hosts}
        if any(is_wild(host) for _, host in wanted):
            return set(range(len(self._alike)))
        return {
            group
            for namespace, host in wanted
            for written in (namespace, "*", ".")
            if written in self._by_egress
            for group in self._by_egress[written].covering(host)
        }

    # -- groups of callers ------------------------------------------------------------------------------

    def _calls(
        self, service: Service, port: ServicePort, workload: Workload, target: int | None
    ) -> tuple[Calls, ...]:
        waypoint = self.mesh.access.waypoint_of(service)
        proxies = (waypoint, proxy_of(workload)) if waypoint is not None else (proxy_of(workload),)
        gates = [gate for proxy in proxies for gate in self.mesh.jwt.gates(proxy)]
        policies = [p for gate in gates for p in gate.policies if p.action is not Action.AUDIT]
        rules = self._client_rules.covering(service.host)
        exposed = bool(self.mesh.api_rules.of(workload))
        key = (
            id(workload) if exposed else None, tuple(map(id, policies)), tuple(gate.unsure for gate in gates),
            workload.namespace, target, port.opaque, self.mesh.mtls.mode(workload, target),
            self.mesh.data_planes.of(workload),
            id(service) if rules or self._special(service) else service.kind,
        )  # fmt: skip
        known = self._answers.get(key)
        if known is None:
            judge = _Judge(self.mesh, service, port, workload, target, policies)
            groups = self._groups(policies, {rule.namespace for rule in rules}, exposed)
            known = self._answers[key] = _merged((group, judge.of(group)) for group in groups)
        return known

    def _special(self, service: Service) -> bool:
        """May the way to the service itself decide: its waypoint, or that it has no load balancing?"""
        waypoint = self.mesh.ambient.waypoint_of_service(service.resource)
        if waypoint.known:
            return waypoint.value is not None or service.kind == "headless"
        return self.mesh.ambient.installed.is_(True) or service.kind == "headless"

    def _groups(self, policies: list[Policy], namespaces: set[str], exposed: bool) -> Iterator[Callers]:
        """From the ones that are told apart most finely to the rest."""
        mentions = [self._mentions(policy) for policy in policies]
        accounts = _joined([m.accounts for m in mentions])
        if exposed:
            accounts.setdefault((self.mesh.config.root, GATEWAY_ACCOUNT), [exposed])
        mentioned = _joined([m.namespaces for m in mentions])
        for namespace in namespaces:
            mentioned[namespace] = [*mentioned.get(namespace, ()), namespace]
        inside = 0
        for found in _alike((a, (*how, *mentioned.get(a[0], ()))) for a, how in accounts.items()):
            pods = [w for identity in found for w in self._by_identity.get(identity, ())]
            inside += len(pods)
            yield _callers("accounts", ["/".join(identity) for identity in found], pods)
        for homes in _alike((ns, tuple(how)) for ns, how in mentioned.items()):
            pods = [
                w
                for ns in homes
                for w in self._by_namespace.get(ns, ())
                if (ns, w.service_account) not in accounts
            ]
            inside += len(pods)
            yield _callers("namespaces", homes, pods)
        yield Callers("others", (), (), len(self._members[True]) - inside)
        yield _callers("plain", (), self._members[False])
        if self._members[None]:
            yield _callers("unsure", (), self._members[None])

    def _mentions(self, policy: Policy) -> _Mentions:
        """Service accounts and namespaces that a policy tells from others."""
        known = self._mentioned.get(id(policy))
        if known is None:
            known = self._mentioned[id(policy)] = _Mentions({}, {})
            for rule in policy.rules:
                for predicate in rule.predicates:
                    if predicate.identity:
                        self._add(policy, predicate, known)
        return known

    def _add(self, policy: Policy, predicate: Predicate, found: _Mentions) -> None:
        for number, values in enumerate((predicate.values, predicate.nots)):
            for value in (v.text for v in values):
                if is_placeholder(value) or value == "*":
                    continue
                how = (id(predicate), number)
                if predicate.field == "namespaces":
                    for namespace in self._homes(value):
                        found.namespaces.setdefault(namespace, []).append(how)
                elif predicate.field == "serviceAccounts":
                    namespace, slash, name = value.rpartition("/")
                    identity = (namespace if slash else policy.namespace, name)
                    found.accounts.setdefault(identity, []).append(how)
                elif predicate.field == "principals":
                    for identity in self._principals(value):
                        found.accounts.setdefault(identity, []).append((*how, value.partition("/")[0]))

    def _homes(self, value: str) -> Iterable[str]:
        if "*" not in value:
            return (value,)
        return [namespace for namespace in self._by_namespace if glob(value, namespace)]

    def _principals(self, value: str) -> Iterable[Identity]:
        """Service accounts that a principal means; for a pattern those of the input."""
        parts = value.split("/")
        if "*" not in (value[:1], value[-1:]):
            return [(parts[2], parts[4])] if len(parts) == 5 else []
        known = self._matching.get(value)
        if known is None:
            whole = self._principals_of_input
            if value.startswith("*"):
                known = [identity for name, identity in whole if name.endswith(value[1:])]
            else:
                known = [identity for name, identity in whole if name.startswith(value[:-1])]
            self._matching[value] = known
        return known

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
    def _principals_of_input(self) -> list[tuple[str, Identity]]:
        domain = self.mesh.config.trust_domain.or_else("cluster.local")
        return [(f"{domain}/ns/{ns}/sa/{account}", (ns, account)) for ns, account in self._by_identity]

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
    def _alike(self) -> list[list[Sidecar]]:
        """Groups of Sidecars that import the same."""
        groups: dict[tuple[object, ...], list[Sidecar]] = defaultdict(list)
        for sidecar in self.mesh.sidecars.all:
            if sidecar.egress is not None:
                groups[_egress(sidecar)].append(sidecar)
        return list(groups.values())

    @cached_property
    def _group(self) -> dict[int, int]:
        return {id(sidecar): group for group, alike in enumerate(self._alike) for sidecar in alike}

    @cached_property
    def _near(self) -> dict[str, dict[int, list[Sidecar]]]:
        """The members of groups by namespace."""
        found: dict[str, dict[int, list[Sidecar]]] = defaultdict(lambda: defaultdict(list))
        for group, alike in enumerate(self._alike):
            for sidecar in alike:
                found[sidecar.namespace][group].append(sidecar)
        return {namespace: dict(groups) for namespace, groups in found.items()}

    @cached_property
    def _by_egress(self) -> dict[str, HostIndex[int]]:
        """Groups by the hosts that they write, for each namespace that stands before them."""
        indexes: dict[str, HostIndex[int]] = defaultdict(HostIndex)
        for group, alike in enumerate(self._alike):
            for namespace, host in {(entry.namespace, entry.host) for entry in alike[0].egress or ()}:
                indexes[namespace].add(host, group)
        return dict(indexes)


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
        namespace, _, account = _first(callers).partition("/")
        return self.mesh.access.peer(namespace or _NOBODY, account or _NOBODY)

    def _access(self, peer: Peer, callers: Callers | None) -> tuple[Fact[Access], Request]:
        namespace = _first(callers).partition("/")[0] if callers is not None else ""
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
        found: dict[Action, dict[str, Place]] = {Action.DENY: {}, Action.CUSTOM: {}, Action.ALLOW: {}}
        for policy in self.policies:
            for rule in policy.rules:
                if rule_matches(rule, request, policy) is None:
                    listed = found[policy.action or Action.ALLOW]
                    listed.setdefault(_spelled_rule(rule), policy.resource.place(rule.node))
        words = [
            before + "; ".join(found[action]) + after
            for action, before, after in (
                (Action.ALLOW, "", ""),
                (Action.DENY, "but not ", ""),
                (Action.CUSTOM, "", " only if the external authorizer allows it"),
            )
            if found[action]
        ]
        places = [place for by_words in found.values() for place in by_words.values()]
        titles = ", ".join(dict.fromkeys(place.resource.title for place in places))
        return Fact.of(Access.SOME, *places, reason=titles, certain=fact.certain), ", ".join(words)


def _callers(kind: str, names: Iterable[str], workloads: list[Workload]) -> Callers:
    return Callers(kind, tuple(names), tuple(workloads[:_MOST_SHOWN]), len(workloads))


def _first(callers: Callers) -> str:
    """One of them stands for all."""
    return callers.names[0] if callers.names else ""


def _joined(parts: list[dict[K, list[object]]]) -> dict[K, list[object]]:
    filled = [part for part in parts if part]
    if len(filled) == 1:
        return dict(filled[0])
    found: dict[K, list[object]] = {}
    for part in filled:
        for key, how in part.items():
            found[key] = [*found.get(key, ()), *how]
    return found


def _alike(mentioned: Iterable[tuple[K, tuple[object, ...]]]) -> Iterable[list[K]]:
    """Those that are mentioned in the same way, together."""
    groups: dict[tuple[object, ...], list[K]] = defaultdict(list)
    for one, how in mentioned:
        groups[how].append(one)
    return groups.values()


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
