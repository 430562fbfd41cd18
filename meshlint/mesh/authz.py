"""What does an AuthorizationPolicy say, and what do the attached ones decide for one request?

Rules are three-valued (spec security 5.4): a predicate on something that the request leaves open is
None, "maybe". Attachment is that of 4.1, the order of actions that of 5.2, shapes those of 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import field, replace
from enum import Enum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from meshlint.mesh.attachment import Attachments, Proxy, attachment_problem
from meshlint.mesh.candidates import MANY, Candidates
from meshlint.mesh.claims import Claims
from meshlint.mesh.facts import all_of, every, some
from meshlint.mesh.labels import DRY_RUN
from meshlint.mesh.scope import ISTIO_SECURITY
from meshlint.mesh.values import value_matches
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

SOURCE_FIELDS = (
    "principals", "requestPrincipals", "namespaces", "ipBlocks",
    "remoteIpBlocks", "serviceAccounts", "trustDomains",
)  # fmt: skip
OPERATION_FIELDS = ("hosts", "ports", "methods", "paths")
#: fields and `when` keys that exist on HTTP only (spec security 5.4)
HTTP_ONLY = frozenset({"requestPrincipals", "hosts", "methods", "paths"})
#: fields and `when` keys that need the peer's mTLS identity
IDENTITY = frozenset({"principals", "namespaces", "serviceAccounts", "trustDomains"})

_CONDITIONS = {
    "source.ip": "ipBlocks",
    "remote.ip": "remoteIpBlocks",
    "source.namespace": "namespaces",
    "source.serviceAccount": "serviceAccounts",
    "source.trustDomain": "trustDomains",
    "source.principal": "principals",
    "request.auth.principal": "requestPrincipals",
    "destination.port": "ports",
}
_CONDITION_KEYS = frozenset(
    {*_CONDITIONS, "request.auth.audiences", "request.auth.presenter", "destination.ip", "connection.sni"}
)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))


class Action(Enum):
    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


@dataclass(frozen=True, slots=True, eq=False)
class Predicate:
    """One field of a source or operation, or one `when` condition.

    `field` is the name without `not`, for conditions that of the equal source field or the key
    itself. `key` is the node of the (first) key, for conditions the whole condition.
    """

    field: str
    values: tuple[Scalar, ...]
    nots: tuple[Scalar, ...]
    key: Node
    #: of many values, which could match a request; None where they are few
    likely: Candidates | None = None
    likely_nots: Candidates | None = None

    @property
    def http_only(self) -> bool:
        return self.field in HTTP_ONLY or self.field.startswith("request.")

    @property
    def identity(self) -> bool:
        return self.field in IDENTITY

    @property
    def request_identity(self) -> bool:
        return self.field == "requestPrincipals" or self.field.startswith("request.auth.")


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A source or an operation: every predicate must hold. `node` is the list item."""

    predicates: tuple[Predicate, ...]
    node: Node


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """`sources` and `operations` are None where the clause is absent, which matches everything."""

    node: Node
    sources: tuple[Clause, ...] | None
    operations: tuple[Clause, ...] | None
    conditions: tuple[Predicate, ...]

    @property
    def predicates(self) -> Iterator[Predicate]:
        for clause in (*(self.sources or ()), *(self.operations or ())):
            yield from clause.predicates
        yield from self.conditions

    @property
    def empty(self) -> bool:
        return self.sources is None and self.operations is None and not self.conditions


class Policy:
    """An AuthorizationPolicy, typed."""

    def __init__(self, resource: Resource, rules: tuple[Rule, ...] | None = None) -> None:
        self.resource = resource
        self.namespace = resource.ns
        text = resource.text("spec", "action")
        #: None where the action is templated or unknown to Istio
        self.action = Action.ALLOW if text is None else Action.__members__.get(text)
        self.templated = is_placeholder(text)
        self.provider = resource.text("spec", "provider", "name") or ""
        if rules is not None:
            self.rules = rules

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        node = self.resource.get("spec", "rules")
        if not isinstance(node, Sequence):
            return ()
        return tuple(_rule(item) for item in node.items if isinstance(item, Mapping))

    @cached_property
    def literals(self) -> dict[str, list[str]]:
        """The values that rules compare each field with, in order, without repetition."""
        found: dict[str, dict[str, None]] = {}
        for rule in self.rules:
            for predicate in rule.predicates:
                values = dict.fromkeys(v.text for v in (*predicate.values, *predicate.nots))
                found.setdefault(predicate.field, {}).update(values)
        return {field: list(values) for field, values in found.items()}

    @cached_property
    def dry_run(self) -> bool:
        return self.resource.annotations.get(DRY_RUN) in _TRUE

    @cached_property
    def problem(self) -> str:
        """Why the object is refused; '' if it is not (spec security 5.3, 5.4)."""
        return next(_problems(self), "")

    @property
    def enforced(self) -> bool:
        return not self.dry_run and not self.problem

    @cached_property
    def place(self) -> Place:
        """What makes it a policy of its kind: the action where written, else the rules or the spec."""
        if self.resource.get("spec", "action") is not None:
            return self.resource.place_at("spec", "action")
        if self.resource.get("spec", "rules") is not None:
            return self.resource.place_at("spec", "rules", part="key")
        return self.resource.place_at("spec", part="key")

    def place_of(self, predicate: Predicate) -> Place:
        """The key of a field, and of a condition its own `key` where it has one."""
        node = predicate.key
        if not isinstance(node, Scalar):
            node = node.dig("key") or node
        return self.resource.place(node)

    def keep(self, rules: Iterable[Rule]) -> Policy:
        """The same policy with some of its rules."""
        return Policy(self.resource, tuple(rules))


@dataclass(frozen=True, slots=True)
class Peer:
    """The caller at the other end of the connection; None is unknown, `mtls` False is plain text."""

    mtls: bool | None = None
    trust_domain: str | None = None
    namespace: str | None = None
    service_account: str | None = None


#: a caller without mutual TLS
PLAIN: Final = Peer(mtls=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A valid token. `issuer` and `subject` None: any; `audiences` empty: any; `claims` None: any others."""

    issuer: str | None = None
    subject: str | None = None
    audiences: tuple[str, ...] = ()
    claims: Claims | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as one proxy sees it; None is unknown. `http` False: an opaque TCP connection."""

    host: str | None = None
    path: str | None = None
    method: str | None = None
    port: int | None = None
    token: Token | None = None
    peer: Peer = field(default_factory=Peer)
    http: bool = True
    #: the mesh's trust domain and its aliases; `cluster.local` always stands for them
    trust_domains: frozenset[str] = frozenset({"cluster.local"})
    #: names are lower case
    headers: MappingOf[str, str] | None = None


class Outcome(Enum):
    ALLOWED = "allowed"
    DENIED = "denied"
    EXTERNAL = "external"  #: an external authorizer decides


@dataclass(frozen=True, slots=True)
class Decision:
    """`because` holds what decided: the rule that let through or denied, or the ALLOW policies none
    of whose rules matched; empty where no policy applies. `certain` False: only possibly so.
    """

    outcome: Outcome
    because: tuple[Place, ...] = ()
    certain: bool = True


#: no policy applies
_FREE = Decision(Outcome.ALLOWED)


class Authz:
    """The AuthorizationPolicies of a scope."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.policies = [Policy(r) for r in mesh.scope.of(ISTIO_SECURITY, "AuthorizationPolicy")]
        self._by_resource = {id(p.resource): p for p in self.policies}

    @cached_property
    def attachments(self) -> Attachments:
        return Attachments(self.mesh, [p.resource for p in self.policies])

    def of(self, proxy: Proxy) -> list[Policy]:
        """All policies that attach to a proxy, those without effect included."""
        return [self._by_resource[id(r)] for r in self.attachments.of(proxy).policies]

    def maybe_of(self, proxy: Proxy) -> list[Policy]:
        """Policies that may attach, depending on labels that the input does not show."""
        return [self._by_resource[id(r)] for r in self.attachments.of(proxy).maybe]

    def enforced_at(self, proxy: Proxy) -> list[Policy]:
        return [p for p in self.of(proxy) if p.enforced]

    def policy(self, resource: Resource) -> Policy:
        return self._by_resource[id(resource)]

    def provider_known(self, policy: Policy) -> bool | None:
        """Does the mesh have the external authorizer that a CUSTOM policy names? (5.7)"""
        if is_placeholder(policy.provider):
            return None
        providers = self.mesh.config.extension_providers
        if not providers.known:
            return None
        kind = providers.value.get(policy.provider)
        if kind is None:
            return False if providers.certain else None
        return kind.startswith("envoyExtAuthz")

    def decide(self, policies: Iterable[Policy], request: Request) -> Decision:
        """What enforced policies of one proxy decide for a request (5.2)."""
        return decide(policies, request, self.provider_known)


def decide(policies: Iterable[Policy], request: Request, provider_known: object = None) -> Decision:
    """DENY, then ALLOW, and CUSTOM for what both let through: a request passes only if all agree."""
    listed = list(policies)
    if not listed:
        return _FREE
    custom = _custom([p for p in listed if p.action is Action.CUSTOM], request, provider_known)
    if custom is not None and custom.outcome is Outcome.DENIED and custom.certain:
        return custom
    denied = _denied([p for p in listed if p.action is Action.DENY], request)
    if denied is not None and denied.certain:
        return denied
    allowed = _allowed([p for p in listed if p.action is Action.ALLOW], request)
    if allowed.outcome is Outcome.DENIED:
        return allowed
    if custom is not None and custom.certain:
        return custom
    doubtful = denied is not None or custom is not None or any(p.action is None for p in listed)
    return replace(allowed, certain=False) if doubtful else allowed


def _custom(policies: list[Policy], request: Request, provider_known: object) -> Decision | None:
    doubtful: Decision | None = None
    for policy in policies:
        known = provider_known(policy) if callable(provider_known) else None
        outcome = Outcome.DENIED if known is False else Outcome.EXTERNAL
        for rule in policy.rules:
            answer = rule_matches(rule, request, policy)
            if answer:
                return Decision(outcome, (policy.resource.place(rule.node),))
            if answer is None:
                doubtful = Decision(outcome, (policy.resource.place(rule.node),), certain=False)
    return doubtful


def _denied(policies: list[Policy], request: Request) -> Decision | None:
    doubtful: Decision | None = None
    for policy in policies:
        for rule in policy.rules:
            answer = rule_matches(rule, request, policy)
            if answer:
                return Decision(Outcome.DENIED, (policy.resource.place(rule.node),))
            if answer is None:
                doubtful = Decision(Outcome.DENIED, (policy.resource.place(rule.node),), certain=False)
    return doubtful


def _allowed(policies: list[Policy], request: Request) -> Decision:
    if not policies:
        return _FREE
    possible: Place | None = None
    for policy in policies:
        for rule in policy.rules:
            answer = rule_matches(rule, request, policy)
            if answer:
                return Decision(Outcome.ALLOWED, (policy.resource.place(rule.node),))
            if answer is None and possible is None:
                possible = policy.resource.place(rule.node)
    if possible is not None:
        return Decision(Outcome.ALLOWED, (possible,), certain=False)
    return Decision(Outcome.DENIED, tuple(p.place for p in policies))


def rule_matches(rule: Rule, request: Request, policy: Policy) -> bool | None:
    """Does a rule match a request? On TCP the HTTP-only fields count as in spec security 5.5."""
    if not request.http and policy.action is Action.ALLOW and any(p.http_only for p in rule.predicates):
        return False
    sources, operations = rule.sources, rule.operations
    answer: bool | None = True
    if operations is not None:
        answer = _clause_matches(operations, request, policy)
    if sources is not None and answer is not False:
        answer = all_of(answer, _clause_matches(sources, request, policy))
    if rule.conditions and answer is not False:
        answer = all_of(answer, every(_holds(c, request, policy) for c in rule.conditions))
    return answer


def _clause_matches(clauses: tuple[Clause, ...], request: Request, policy: Policy) -> bool | None:
    return some(every(_holds(p, request, policy) for p in c.predicates) for c in clauses)


def _holds(predicate: Predicate, request: Request, policy: Policy) -> bool | None:
    if not request.http and predicate.http_only:
        return True
    positive: bool | None = True
    if predicate.values:
        positive = _one_of(predicate.values, predicate.likely, predicate.field, request, policy)
    if positive is False or not predicate.nots:
        return positive
    negative = _one_of(predicate.nots, predicate.likely_nots, predicate.field, request, policy)
    return all_of(positive, None if negative is None else not negative)


def _one_of(
    values: tuple[Scalar, ...], likely: Candidates | None, name: str, request: Request, policy: Policy
) -> bool | None:
    texts = [v.text for v in values] if likely is None else likely.of(request, policy.namespace)
    return some(value_matches(name, text, request, policy.namespace) for text in texts)


def _rule(node: Mapping) -> Rule:
    return Rule(
        node,
        _clauses(node.get("from"), "source", SOURCE_FIELDS),
        _clauses(node.get("to"), "operation", OPERATION_FIELDS),
        tuple(_when(node.get("when"))),
    )


def _clauses(node: Node | None, wrapper: str, fields: tuple[str, ...]) -> tuple[Clause, ...] | None:
    """None for an absent or empty list, which matches everything (spec security 5.3)."""
    if not isinstance(node, Sequence) or not node.items:
        return None
    found = []
    for item in node.items:
        inner = item.get(wrapper) if isinstance(item, Mapping) else None
        predicates = tuple(_predicates(inner, fields)) if isinstance(inner, Mapping) else ()
        found.append(Clause(predicates, item))
    return tuple(found)


def _predicates(node: Mapping, fields: tuple[str, ...]) -> Iterator[Predicate]:
    index = node.index
    for name in fields:
        negated = f"not{name[0].upper()}{name[1:]}"
        pair, not_pair = index.get(name), index.get(negated)
        if pair is None and not_pair is None:
            continue
        values = tuple(texts(pair[1])) if pair else ()
        nots = tuple(texts(not_pair[1])) if not_pair else ()
        if values or nots:
            keys = [p[0] for p, given in ((pair, values), (not_pair, nots)) if p and given]
            yield _predicate(name, values, nots, keys[0])


def _when(node: Node | None) -> Iterator[Predicate]:
    if not isinstance(node, Sequence):
        return
    for item in node.items:
        if isinstance(item, Mapping):
            key = text_of(item.get("key")) or ""
            values, nots = texts(item.get("values")), texts(item.get("notValues"))
            yield _predicate(_CONDITIONS.get(key, key), tuple(values), tuple(nots), item)


def _predicate(name: str, values: tuple[Scalar, ...], nots: tuple[Scalar, ...], key: Node) -> Predicate:
    likely, likely_nots = (
        Candidates(name, (v.text for v in given)) if len(given) > MANY else None for given in (values, nots)
    )
    return Predicate(name, values, nots, key, likely, likely_nots)


def _problems(policy: Policy) -> Iterator[str]:
    resource = policy.resource
    if policy.action is None and not policy.templated:
        yield f"action {resource.text('spec', 'action')} is none of ALLOW, DENY, AUDIT, CUSTOM"
    problem = attachment_problem(resource)
    if problem:
        yield problem
    rules = resource.get("spec", "rules")
    given = isinstance(rules, Sequence) and bool(rules.items)
    if policy.action in (Action.DENY, Action.CUSTOM) and not given:
        yield f"{policy.action.value} needs rules"
    if isinstance(rules, Sequence) and any(not isinstance(i, Mapping) for i in rules.items):
        yield "a rule must be an object"
    custom = policy.action is Action.CUSTOM
    if custom and not policy.provider:
        yield "CUSTOM needs provider.name"
    if policy.action is not None and not custom and resource.mapping("spec", "provider") is not None:
        yield "provider is only for CUSTOM"
    for rule in policy.rules:
        yield from _rule_problems(rule, custom)


def _rule_problems(rule: Rule, custom: bool) -> Iterator[str]:
    for clause in (*(rule.sources or ()), *(rule.operations or ())):
        if not clause.predicates:
            yield "a source or an operation must not be empty"
        yield from _clause_problems(clause)
    for condition in rule.conditions:
        if not condition_key_known(condition.field):
            yield f"when has no key {condition.field or '(empty)'}"
        elif not condition.values and not condition.nots:
            yield "a condition needs values or notValues"
    if custom:
        for predicate in rule.predicates:
            if predicate.identity or predicate.request_identity:
                yield f"CUSTOM cannot use {predicate.field}"


def condition_key_known(name: str) -> bool:
    if name in _CONDITION_KEYS or name in _CONDITIONS.values() or is_placeholder(name):
        return True
    prefixes = ("request.headers[", "request.auth.claims[", "experimental.envoy.filters.")
    return name.startswith(prefixes) and name.endswith("]")


def _clause_problems(clause: Clause) -> Iterator[str]:
    names = {p.field for p in clause.predicates}
    if "serviceAccounts" in names and names & {"principals", "namespaces"}:
        yield "serviceAccounts cannot be used together with principals or namespaces"
    for predicate in clause.predicates:
        for value in (*predicate.values, *predicate.nots):
            if predicate.field == "ports" and not _is_port(value):
                yield f"port {value.text} must be a quoted number from 0 to 65535"
            elif predicate.field == "paths" and "{" in value.text and not _is_template(value.text):
                yield f"path template {value.text} is malformed"


def _is_port(value: Scalar) -> bool:
    if is_placeholder(value.text):
        return True
    return value.string is not None and value.text.isdigit() and int(value.text) <= 65535


@lru_cache(maxsize=4096)
def _is_template(path: str) -> bool:
    """`{*}` and `{**}` are whole segments, and `{**}` is the last operator."""
    if is_placeholder(path):
        return True
    seen_any = False
    for segment in path.split("/"):
        if segment in ("{*}", "{**}"):
            if seen_any:
                return False
            seen_any = segment == "{**}"
        elif any(c in segment for c in "{}*"):
            return False
    return True
