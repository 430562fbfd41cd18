"""Does a proxy require a token, and is each way into the mesh covered? (spec security 4.4, 4.6)

A request without a token is tried against the attached policies; if it is turned away, the same
request with a valid token tells a requirement from a plain refusal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.attachment import Proxy
from meshlint.mesh.authz import Action, Decision, Outcome, Policy, Request, Rule, Token
from meshlint.mesh.coverage import Covered, Requirement, coverage_of, proxies_met
from meshlint.mesh.facts import Fact
from meshlint.mesh.scope import ISTIO_NETWORKING, ISTIO_SECURITY, Evidence
from meshlint.records import dataclass
from meshlint.resources import Resource
from meshlint.source.nodes import Scalar, string_map, text_of

if TYPE_CHECKING:
    from meshlint.mesh.exposure import Exposure
    from meshlint.mesh.mesh import Mesh

_PATCHED = frozenset(("HTTP_FILTER", "NETWORK_FILTER", "LISTENER", "FILTER_CHAIN", "BOOTSTRAP"))
#: filters that leave authentication and authorization alone
_HARMLESS = (
    "ratelimit", "fault", "compressor", "gzip", "buffer", "cors", "grpc_stats", "grpc_web", "stats", "header",
    "tap", "health_check", "http_connection_manager",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gate:
    """What one proxy enforces. `anonymous` are the policies without rules that ask for a token.

    `unsure` names what could change the answer and cannot be evaluated.
    """

    policies: tuple[Policy, ...]
    anonymous: tuple[Policy, ...]
    tokens: tuple[Token, ...]
    unsure: str = ""

    @property
    def closed(self) -> bool:
        """Are there ALLOW policies, and no rule of theirs that a request without a token can match?"""
        allowing = [p for p in self.anonymous if p.action is Action.ALLOW]
        return bool(allowing) and not any(p.rules for p in allowing)


_OPEN: Fact[Requirement] = Fact.of(Requirement.NOT_REQUIRED)


class Jwt:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._gates: dict[tuple[object, ...], list[Gate]] = {}
        self._tokens: dict[int, tuple[Token, ...]] = {}
        self._covered: dict[int, list[Covered]] = {}
        self._met: dict[int, list[Proxy]] = {}
        self._evidence: dict[tuple[str, ...], Evidence] = {}
        self._filters = _filters_by_namespace(mesh)

    def requires(self, proxy: Proxy, request: Request) -> Fact[Requirement]:
        """Does the proxy require a token for a request? The token of `request` is not looked at.

        `certain` is about the request: False where a caller's address, identity or headers decide.
        Whether all policies are in the input is what `evidence` says.
        """
        answers = [self._judge(gate, request) for gate in self.gates(proxy)]
        if len(answers) == 1:
            return answers[0]
        if len({answer.value for answer in answers if answer.known}) > 1:
            places = tuple(p for answer in answers for p in answer.because)
            return Fact.disputed("alternatives of one policy decide differently", *places)
        return next((a for a in answers if not a.known), answers[0])

    def gates(self, proxy: Proxy) -> list[Gate]:
        """What the proxy enforces; several where the input holds alternatives of a policy."""
        key = proxy.identity
        if key not in self._gates:
            self._gates[key] = list(self._make_gates(proxy))
        return self._gates[key]

    def evidence(self, *namespaces: str) -> Evidence:
        """May the absence of policies that apply in these namespaces be taken as a fact?"""
        found = self._evidence.get(namespaces)
        if found is None:
            scope = self.mesh.scope
            wanted = {*namespaces, self.mesh.config.root}
            found = min(scope.evidence(ISTIO_SECURITY, "AuthorizationPolicy", n) for n in wanted)
            self._evidence[namespaces] = found
        return found

    @cached_property
    def trust_domains(self) -> frozenset[str]:
        """Names of the trust domain that callers of this mesh have."""
        own, aliases = self.mesh.config.trust_domain, self.mesh.config.trust_domain_aliases
        found = {own.value} if own.known else set()
        return frozenset(found | set(aliases.value or () if aliases.known else ()))

    def coverage(self, exposure: Exposure) -> list[Covered]:
        """What is asked of callers of an exposure, per kind of request that policies tell apart."""
        found = self._covered.get(id(exposure))
        if found is None:
            found = self._covered[id(exposure)] = coverage_of(self.mesh, exposure)
        return found

    def proxies_met(self, exposure: Exposure) -> list[Proxy]:
        """Every proxy that may read the requests of callers of an exposure."""
        found = self._met.get(id(exposure))
        if found is None:
            found = self._met[id(exposure)] = proxies_met(self.mesh, exposure)
        return found

    def _judge(self, gate: Gate, request: Request) -> Fact[Requirement]:
        if not gate.policies and not gate.unsure:
            return _OPEN
        decide = self.mesh.authz.decide
        if request.token is not None:
            request = replace(request, token=None)
        anonymous = decide(gate.anonymous, request)
        if anonymous.outcome is Outcome.ALLOWED and gate.unsure:
            return Fact.missing(gate.unsure, *anonymous.because)
        if anonymous.outcome is Outcome.EXTERNAL:
            return _fact(Requirement.EXTERNAL, anonymous)
        if anonymous.outcome is Outcome.ALLOWED:
            return _fact(Requirement.NOT_REQUIRED, anonymous)
        for token in gate.tokens:
            if decide(gate.policies, replace(request, token=token)).outcome is not Outcome.DENIED:
                return _fact(Requirement.REQUIRED, anonymous)
        return _fact(Requirement.BLOCKED, anonymous)

    def _make_gates(self, proxy: Proxy) -> Iterator[Gate]:
        unsure = self._unsure(proxy)
        rules = self.mesh.authn.rules_of(proxy)
        if id(rules) not in self._tokens:
            self._tokens[id(rules)] = tuple(Token(r.issuer or None, None, r.audiences) for r in rules)
        tokens = self._tokens[id(rules)]
        for policies in _alternatives(self.mesh.authz.enforced_at(proxy)):
            anonymous = tuple(_for_anonymous(p) for p in policies if p.action is not Action.AUDIT)
            yield Gate(tuple(policies), anonymous, tokens, unsure)

    def _unsure(self, proxy: Proxy) -> str:
        maybe = [p for p in self.mesh.authz.maybe_of(proxy) if p.enforced]
        if maybe:
            return f"{maybe[0].resource.title} may select these pods, whose labels are not all known"
        refused = [p for p in self.mesh.authz.of(proxy) if p.problem]
        if refused:
            return f"{refused[0].resource.title} is refused: {refused[0].problem}"
        for namespace in {self.mesh.config.root, proxy.namespace}:
            for labels, resource in self._filters.get(namespace, ()):
                if labels.items() <= proxy.labels.items():
                    return f"{resource.title} may change what is enforced"
        return ""


def _for_anonymous(policy: Policy) -> Policy:
    if policy.action is not Action.ALLOW or not any(requires_identity(r) for r in policy.rules):
        return policy
    return policy.keep(r for r in policy.rules if not requires_identity(r))


def requires_identity(rule: Rule) -> bool:
    """Can no request without a token match the rule, whatever else it carries?"""
    if any(c.request_identity and c.values for c in rule.conditions):
        return True
    sources = rule.sources
    return bool(sources) and all(
        any(p.request_identity and p.values for p in source.predicates) for source in sources or ()
    )


def _fact(requirement: Requirement, decision: Decision) -> Fact[Requirement]:
    return Fact.of(requirement, *decision.because, certain=decision.certain)


def _alternatives(policies: list[Policy]) -> Iterator[list[Policy]]:
    """The policies with one version of each object at a time, so that each version is tried once."""
    versions: dict[tuple[str, ...], list[Policy]] = defaultdict(list)
    for policy in policies:
        versions[policy.resource.key].append(policy)
    for number in range(max((len(v) for v in versions.values()), default=1)):
        yield [found[min(number, len(found) - 1)] for found in versions.values()]


def _filters_by_namespace(mesh: Mesh) -> dict[str, list[tuple[dict[str, str], Resource]]]:
    """EnvoyFilters and WasmPlugins that could authenticate or authorize, with the labels they select."""
    found: dict[str, list[tuple[dict[str, str], Resource]]] = defaultdict(list)
    for resource in mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"):
        if any(_touches_security(p) for p in resource.mappings("spec", "configPatches")):
            labels = string_map(resource.get("spec", "workloadSelector", "labels"))
            found[resource.ns].append((labels, resource))
    for resource in mesh.scope.of("extensions.istio.io", "WasmPlugin"):
        if resource.text("spec", "phase") in ("AUTHN", "AUTHZ"):
            labels = string_map(resource.get("spec", "selector", "matchLabels"))
            found[resource.ns].append((labels, resource))
    return found


def _touches_security(patch: object) -> bool:
    dig = getattr(patch, "dig", None)
    if dig is None or text_of(dig("applyTo")) not in _PATCHED:
        return False
    if text_of(dig("match", "context")) == "SIDECAR_OUTBOUND":
        return False
    name = dig("patch", "value", "name")
    text = name.text if isinstance(name, Scalar) else ""
    return not any(word in text for word in _HARMLESS)
