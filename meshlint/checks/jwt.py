"""Checks of the family jwt (catalogue: spec traffic 8.3; reasoning: spec security 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from meshlint.findings import CONFIDENCES, Draft
from meshlint.mesh.attachment import Proxy, ProxyKind, proxy_of, references_of, selector_of
from meshlint.mesh.authn import Authentication, JwtRule, host_of, in_cluster
from meshlint.mesh.authz import Action, Policy, Request
from meshlint.mesh.claims import CLAIMS
from meshlint.mesh.coverage import UNHEARD, Covered, Requirement, probes
from meshlint.mesh.exposure import INGRESS_SELECTOR, Exposure
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.routes import MESH, Route, gateway_key
from meshlint.mesh.scope import ISTIO_NETWORKING, ISTIO_SECURITY, KYMA_GATEWAY, Evidence
from meshlint.mesh.strings import matches_string
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, mappings, text_of, texts

_JWKS_FILTER = "BLOCKED_CIDRS_IN_JWKS_URIS"

# -- is a token required? ----------------------------------------------------------------------------


def missing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """Outside callers reach a workload, and nothing in their way asks for a token."""
    public = _public((*mesh.settings.public_paths, *options["publicPaths"]))
    issuers = {host_of(rule.issuer) for a in mesh.authn.all for rule in a.rules} - {""}
    deliberate: dict[int, bool] = {}
    groups: dict[tuple[int, str], list[Exposure]] = {}
    for exposure in mesh.exposures.all:
        if exposure.http and not issuers.intersection(exposure.hosts) and _is_worth_a_look(mesh, exposure):
            groups.setdefault((id(exposure.resource), exposure.target), []).append(exposure)
    for exposures in groups.values():
        asked = [(e, c) for e in exposures for c in mesh.jwt.coverage(e) if not public(c.probe.path)]
        opened = [(e, c) for e, c in asked if c.requirement.is_(Requirement.NOT_REQUIRED)]
        rated = list(_rated(mesh, opened, deliberate))
        if rated:
            covered, exposure, confidence = min(rated, key=lambda r: CONFIDENCES.index(r[2]))
            part = "" if len(opened) == len(asked) else f" on {_shown(covered)}"
            others = {
                id(e.place.node): e.place for _, e, _ in rated if e.place.node is not exposure.place.node
            }
            yield _missing(mesh, exposure, covered, confidence, part, list(others.values()))


def _rated(
    mesh: Mesh, opened: Iterable[tuple[Exposure, Covered]], deliberate: dict[int, bool]
) -> Iterator[tuple[Covered, Exposure, str]]:
    """With the confidence, where there is any; requests with the same answer share it.

    `deliberate` remembers of rules whether they mean to let anybody in.
    """
    known: dict[tuple[int, int], str | None] = {}
    for exposure, covered in opened:
        key = (id(exposure), id(covered.requirement))
        if key not in known:
            for node in (place.node for place in covered.requirement.because):
                if id(node) not in deliberate:
                    deliberate[id(node)] = _names_paths(node)
            meant = any(deliberate[id(place.node)] for place in covered.requirement.because)
            known[key] = _confidence(mesh, exposure, covered, meant=meant)
        confidence = known[key]
        if confidence is not None:
            yield covered, exposure, confidence


def _is_worth_a_look(mesh: Mesh, exposure: Exposure) -> bool:
    """Where nobody wants suspicions: could a finding be more than one (see `_confidence`)?"""
    if not _tells(mesh, exposure):
        return False
    if mesh.suspicions or exposure.api_rule is not None or mesh.jwt.evidence() is Evidence.CLOSED:
        return True
    return any(_checks_tokens(mesh, proxy) for proxy in mesh.jwt.proxies_met(exposure))


def _tells(mesh: Mesh, exposure: Exposure) -> bool:
    """Does the input hold anything by which a token could be missed here? If not, why look."""
    if exposure.api_rule is not None or mesh.authn.all or mesh.jwt.evidence() is Evidence.CLOSED:
        return True
    workload = exposure.workload
    if workload is None:
        return False
    return not mesh.settings.remainder or mesh.jwt.evidence(workload.namespace) is Evidence.CLOSED


def _missing(
    mesh: Mesh, exposure: Exposure, covered: Covered, confidence: str, part: str, others: list[Place]
) -> Draft:
    does = "exposes" if exposure.direct else "routes outside callers to"
    message = f"{exposure.resource.title} {does} {exposure.target}{part} without asking for a token"
    internal = covered.entry is not None and covered.entry.internal
    return Draft(
        exposure.place,
        message,
        label="outside callers need no token here",
        help="attach a RequestAuthentication and an AuthorizationPolicy that requires requestPrincipals, "
        "or name the path in publicPaths",
        related=(
            *_let_through(mesh, covered),
            *(("so does this", place) for place in others[:5]),
        ),
        resource=exposure.resource,
        confidence=confidence,
        severity="info" if internal else None,
    )


def _let_through(mesh: Mesh, covered: Covered) -> Iterator[tuple[str, Place]]:
    for place in {id(p.node): p for p in covered.requirement.because}.values():
        yield "lets requests without a token pass", place
    seen: set[int] = set()
    for proxy, _ in covered.answers:
        for authentication in mesh.authn.of(proxy):
            if id(authentication) not in seen:
                seen.add(id(authentication))
                yield "checks tokens, but accepts requests without one", _jwt_rules(authentication)
    if covered.entry is not None and covered.entry.gateway is not None:
        yield "the gateway where they enter", covered.entry.gateway.place()


def _confidence(mesh: Mesh, exposure: Exposure, covered: Covered, *, meant: bool) -> str | None:
    """How sure is it that no policy outside of the input asks for a token? None: not sure at all."""
    if exposure.api_rule is not None:
        return "medium"
    proxies = [proxy for proxy, _ in covered.answers]
    namespaces = {p.namespace for p in proxies if p.namespace}
    if exposure.workload is not None:
        namespaces.add(exposure.workload.namespace)
    certificate = covered.entry is not None and covered.entry.peer.mtls is not False
    if meant or certificate or not covered.requirement.certain:
        return "low"
    if mesh.jwt.evidence(*namespaces) is Evidence.CLOSED:
        return "high"
    if any(_checks_tokens(mesh, proxy) for proxy in proxies):
        return "medium"
    return None if exposure.workload is None or mesh.settings.remainder else "low"


def _checks_tokens(mesh: Mesh, proxy: Proxy) -> bool:
    """Does the proxy read tokens, and does a policy decide about requests?"""
    if not mesh.authn.rules_of(proxy):
        return False
    return any(policy.action is not Action.AUDIT for policy in mesh.authz.enforced_at(proxy))


def _names_paths(rule: Node) -> bool:
    """Is this a rule that opens paths by name, so one that means to?"""
    operations = mappings(rule.dig("to"))
    named = [texts(operation.dig("operation", "paths")) for operation in operations]
    return bool(named) and all(
        values and all(v.text not in ("*", "/*") for v in values) for values in named
    )  # fmt: skip


def _public(patterns: Sequence[str]) -> Callable[[str | None], bool]:
    """A test for paths that need no token."""
    exact = {p for p in patterns if "*" not in p}
    wild = [p for p in patterns if "*" in p]

    @cache
    def public(path: str | None) -> bool:
        return path is not None and (path in exact or any(matches_string(p, path) for p in wild))

    return public


def _shown(covered: Covered) -> str:
    path = covered.probe.path or "some paths"
    before, found, _ = path.partition(UNHEARD)
    return f"paths such as {before}…" if found else path


def missing_authz(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A RequestAuthentication for whose proxies no policy turns away requests without a token."""
    routed = {p.identity for route in _claim_routes(mesh) for p in _proxies_of_route(mesh, route)}
    for authentication in mesh.authn.all:
        if not authentication.valid_rules:
            continue
        proxies = _proxies_of(mesh, authentication.resource)
        if not proxies or not all(_lets_everybody_pass(mesh, proxy) for proxy in proxies):
            continue
        policies = {id(p): p for proxy in proxies for p in mesh.authz.of(proxy)}
        confidence = _authz_confidence(mesh, authentication.resource, bool(policies))
        if any(proxy.identity in routed for proxy in proxies):
            confidence = "low"  # it may be there for the routing by claims alone
        resource = authentication.resource
        yield Draft(
            _jwt_rules(authentication),
            f"{resource.title} checks tokens, but no AuthorizationPolicy requires one: "
            f"requests without a token pass {_whom(mesh, resource)}",
            label="requests without a token pass",
            help="add an ALLOW policy for the same workloads whose rules name source.requestPrincipals",
            related=tuple(_looked_at(mesh, proxies[0], list(policies.values())))[:5],
            confidence=confidence,
        )


def _looked_at(mesh: Mesh, proxy: Proxy, policies: list[Policy]) -> Iterator[tuple[str, Place]]:
    """The rule by which requests pass, and the other policies that do not stop them."""
    deciding = mesh.jwt.requires(proxy, Request(None, "/", "GET")).because
    for place in deciding:
        yield "lets requests without a token pass", place
    for policy in policies:
        if all(place.resource is not policy.resource for place in deciding):
            yield "applies as well, and does not stop them", policy.place


def _lets_everybody_pass(mesh: Mesh, proxy: Proxy) -> bool:
    """Does every request without a token pass, whatever else it carries?"""
    resource = proxy.workload.resource if proxy.workload is not None else None
    policies = [p for gate in mesh.jwt.gates(proxy) for p in gate.anonymous]
    if resource is None and not policies:
        return all(not gate.unsure for gate in mesh.jwt.gates(proxy))
    anchor = resource or policies[0].resource
    for probe in probes(Exposure("", anchor, anchor.place()), policies):
        answer = mesh.jwt.requires(proxy, Request(probe.host, probe.path, probe.method))
        if not answer.is_(Requirement.NOT_REQUIRED) or not answer.certain:
            return False
    return True


def _authz_confidence(mesh: Mesh, resource: Resource, attached: bool) -> str | None:
    workloads = mesh.authn.attachments.workloads_of(resource)
    namespaces = {w.namespace for w in workloads} | {resource.ns}
    if mesh.jwt.evidence(*namespaces) is Evidence.CLOSED:
        return None
    if mesh.settings.remainder:
        return "low"
    own = mesh.scope.evidence(ISTIO_SECURITY, "AuthorizationPolicy", resource.ns)
    return "medium" if attached or workloads or own >= Evidence.LIKELY else "low"


def _whom(mesh: Mesh, resource: Resource) -> str:
    workloads = mesh.authn.attachments.workloads_of(resource)
    refs = references_of(resource)
    if refs:
        return f"{refs[0].kind} {refs[0].name}"
    if len(workloads) == 1:
        return workloads[0].title
    selector = selector_of(resource)
    if selector:
        return "the pods with " + ", ".join(f"{k}={v}" for k, v in selector.items())
    if resource.ns == mesh.config.root:
        return "every workload of the mesh"
    return f"every workload of the namespace {resource.ns}"


def _proxies_of(mesh: Mesh, resource: Resource) -> list[Proxy]:
    """The proxies that enforce a policy; known by labels alone where no pods are in the input."""
    refs = references_of(resource)
    if refs:
        return [p for ref in refs for p in _targeted(mesh, resource.ns, ref.kind, ref.name)]
    workloads = mesh.authn.attachments.workloads_of(resource)
    if workloads:
        return [proxy_of(w) for w in workloads if mesh.data_planes.in_mesh(w) is not False]
    selector = selector_of(resource) or {}
    in_root = resource.ns == mesh.config.root
    namespace = "" if in_root and selector and selector != INGRESS_SELECTOR else resource.ns
    return [Proxy(ProxyKind.SIDECAR, namespace, selector, complete=False)]


def _targeted(mesh: Mesh, namespace: str, kind: str, name: str) -> list[Proxy]:
    if kind == "Gateway":
        gateways = mesh.gateways.find(namespace, name, "gateway-api")
        found = [p for g in gateways if not g.waypoint for p in mesh.exposures.proxies_of(g)]
        return found or [Proxy(ProxyKind.GATEWAY, namespace, {}, complete=False, gateway=name)]
    fronted = frozenset({(kind, namespace, name)}) if kind in ("Service", "ServiceEntry") else frozenset()
    return [Proxy(ProxyKind.WAYPOINT, namespace, {}, fronted=fronted)]


# -- what happens to the token -----------------------------------------------------------------------


def token_stripped(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """The gateway takes the token that the workload behind it insists on."""
    said: set[int] = set()
    for exposure in mesh.exposures.all:
        if not any(mesh.authn.rules_of(entry.proxy) for entry in exposure.entries):
            continue
        for covered in mesh.jwt.coverage(exposure):
            found = _stripped(mesh, covered)
            if found is None or id(found[0].node) in said:
                continue
            rule, answer = found
            said.add(id(rule.node))
            yield _token_stripped(exposure, rule, answer)


def _stripped(mesh: Mesh, covered: Covered) -> tuple[JwtRule, Fact[Requirement]] | None:
    entry = covered.entry
    if entry is None:
        return None
    for proxy, answer in covered.answers:
        if proxy is entry.proxy or not answer.is_(Requirement.REQUIRED):
            continue
        wanted = mesh.authn.rules_of(proxy)
        takers = [_taker(mesh.authn.rules_of(entry.proxy), rule) for rule in wanted]
        if takers and all(takers):
            taker = takers[0]
            return (taker, answer) if taker is not None else None
    return None


def _taker(rules: list[JwtRule], wanted: JwtRule) -> JwtRule | None:
    """The rule of the gateway that removes the tokens which a rule of the workload waits for."""
    found = (r for r in rules if r.issuer == wanted.issuer and wanted.locations <= r.strips)
    return next(found, None)


def _token_stripped(exposure: Exposure, rule: JwtRule, answer: Fact[Requirement]) -> Draft:
    resource = rule.resource
    written = rule.node.get("forwardOriginalToken")
    place = resource.place(written or rule.node.get("issuer") or rule.node)
    return Draft(
        place,
        f"{resource.title} removes the token at the gateway, and {exposure.target} behind it rejects "
        "every request without one",
        label="the token is not forwarded",
        help="set forwardOriginalToken: true in this rule, or require the token at the gateway only",
        related=(
            *(("requires the token at the workload", p) for p in answer.because[:1]),
            ("the route from the gateway to the workload", exposure.place),
        ),
        resource=resource,
    )


def forward_token(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A gateway passes the caller's token on to whatever stands behind it."""
    for authentication in mesh.authn.all:
        if not _at_gateway(mesh, authentication.resource):
            continue
        for rule in authentication.rules:
            if rule.forwards:
                resource = authentication.resource
                yield Draft(
                    resource.place(rule.node.get("forwardOriginalToken")),
                    f"{resource.title} forwards the caller's token from the gateway to the workloads",
                    label="workloads receive the token itself",
                    help="forward the verified claims with outputPayloadToHeader or outputClaimToHeaders "
                    "where the workload does not need the token",
                )


def _at_gateway(mesh: Mesh, resource: Resource) -> bool:
    if any(ref.kind == "Gateway" for ref in references_of(resource)):
        return True
    selector = selector_of(resource)
    if not selector:
        return False
    if INGRESS_SELECTOR.items() <= selector.items():
        return True
    serving = [g.selector for g in mesh.gateways.all if g.api == "istio" and g.selector]
    return any(selector.items() <= labels.items() for labels in serving)


# -- the rules of a RequestAuthentication --------------------------------------------------------------


def issuer_or_jwks(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A JWT rule that is refused, or for which no key can be found."""
    for authentication in mesh.authn.all:
        for number, rule in enumerate(authentication.rules):
            if rule.problem is None:
                continue
            text, node = rule.problem
            yield Draft(
                authentication.resource.place(node),
                f"{authentication.resource.title}: rule {number + 1} cannot check any token: {text}",
                label=text,
                help="give the issuer, and exactly one of jwksUri and jwks unless the issuer is an https URL "
                "with OpenID discovery",
            )


def http_jwks(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """The keys that decide about tokens are fetched over plain http."""
    for resource, node in _key_sources(mesh):
        uri = node.text
        if not uri.lower().startswith("http://"):
            continue
        inside = in_cluster(host_of(uri))
        yield Draft(
            resource.place(node),
            f"{resource.title} fetches its keys from {uri} without TLS",
            label="whoever can answer in its place can sign tokens",
            help="use an https address of the issuer",
            confidence="low" if inside else None,
        )


def _key_sources(mesh: Mesh) -> Iterator[tuple[Resource, Scalar]]:
    for authentication in mesh.authn.all:
        for rule in authentication.rules:
            node = rule.node.get("jwksUri")
            if isinstance(node, Scalar):
                yield authentication.resource, node
    for resource in mesh.scope.of(KYMA_GATEWAY, "APIRule"):
        for rule_node in resource.mappings("spec", "rules"):
            for entry in mappings(rule_node.dig("jwt", "authentications")):
                node = entry.get("jwksUri")
                if isinstance(node, Scalar):
                    yield resource, node
            for strategy in mappings(rule_node.get("accessStrategies")):
                for uri in texts(strategy.dig("config", "jwks_urls")):
                    yield resource, uri


def private_key(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """An inline key set that holds what only the issuer may know."""
    for authentication in mesh.authn.all:
        for rule in authentication.rules:
            members = rule.private_members
            key = rule.node.key("jwks")
            if members and key is not None:
                yield Draft(
                    authentication.resource.place(key),
                    f"{authentication.resource.title} holds private key material in jwks: "
                    + ", ".join(members),
                    label="anybody who reads this can sign tokens",
                    help="replace the key at the issuer, and keep only its public half here or use jwksUri",
                )


def no_audience(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A rule that takes tokens which the issuer made for somebody else."""
    for authentication in mesh.authn.all:
        open_rules = [rule for rule in authentication.valid_rules if not rule.audiences]
        if not open_rules or _audience_checked(mesh, authentication):
            continue
        for rule in open_rules:
            resource = authentication.resource
            yield Draft(
                resource.place(rule.node.get("issuer") or rule.node.get("jwksUri") or rule.node),
                f"{resource.title} accepts tokens of {rule.issuer or 'any issuer'} for any audience",
                label="tokens made for other services are accepted",
                help="list the names of this service in audiences",
            )


def _audience_checked(mesh: Mesh, authentication: Authentication) -> bool:
    fields = ("request.auth.audiences", "request.auth.claims[aud]")
    return any(
        predicate.field in fields
        for proxy in _proxies_of(mesh, authentication.resource)[:20]
        for policy in mesh.authz.enforced_at(proxy)
        for rule in policy.rules
        for predicate in rule.conditions
    )


def blocked_cidrs(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """Whoever may write a RequestAuthentication can make istiod call any address."""
    fetching = [a for a in mesh.authn.all if any(rule.jwks_uri for rule in a.rules)]
    if not fetching:
        return
    for workload in mesh.workloads.matching({"app": "istiod"}):
        for container in workload.app_containers:
            variables = {text_of(v.get("name")): v for v in mappings(container.get("env"))}
            variable = variables.get(_JWKS_FILTER)
            if text_of(container.get("name")) != "discovery" and variable is None:
                continue
            if variable is None or not (text_of(variable.get("value")) or variable.get("valueFrom")):
                yield Draft(
                    workload.resource.place(),
                    f"{workload.title} fetches keys from any address that a RequestAuthentication names",
                    label=f"{_JWKS_FILTER} is not set",
                    help=f"set {_JWKS_FILTER} of istiod to the ranges that it must not call",
                    related=(("names a jwksUri", _jwt_rules(fetching[0])),),
                )


# -- routing by claims ---------------------------------------------------------------------------------


def claim_route(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    """A VirtualService matches claims of a token that no proxy in its way has verified."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        headers = list(_claim_headers(resource))
        if not headers:
            continue
        keys = {gateway_key(t.text, resource.ns) for t in texts(resource.get("spec", "gateways"))} or {MESH}
        if MESH in keys:
            for header in headers:
                yield Draft(
                    resource.place(header),
                    f"{resource.title} matches {header.text}, which is refused for clients in the mesh",
                    label="claims can only be matched at gateways",
                    help="bind the VirtualService to gateways alone",
                    equivalents=(),
                )
            continue
        yield from _unverified(mesh, resource, headers)


def _unverified(mesh: Mesh, resource: Resource, headers: list[Scalar]) -> Iterator[Draft]:
    for route in mesh.routes.of(resource)[:1]:
        for gateway in route.gateways:
            proxies = mesh.exposures.proxies_of(gateway)
            verified = [p for p in proxies if mesh.authn.of(p) or mesh.authn.maybe_of(p)]
            if verified or not proxies:
                continue
            closed = all(
                mesh.scope.evidence(ISTIO_SECURITY, "RequestAuthentication", n) is Evidence.CLOSED
                for n in {mesh.config.root, *(p.namespace for p in proxies)}
            )
            confidence = None if closed else "medium" if mesh.authn.all else "low"
            for header in headers:
                yield Draft(
                    resource.place(header),
                    f"{resource.title} matches {header.text}, but no RequestAuthentication applies to the "
                    f"pods of {gateway.resource.title}: the match never holds",
                    label="nothing has verified this claim",
                    help="attach a RequestAuthentication to the pods of the gateway",
                    related=(("the gateway", gateway.resource.place()),),
                    confidence=confidence,
                )
            return


def _claim_headers(resource: Resource) -> Iterator[Scalar]:
    for rule in resource.mappings("spec", "http"):
        for match in mappings(rule.get("match")):
            for kind in ("headers", "withoutHeaders"):
                node = match.get(kind)
                if isinstance(node, MappingNode):
                    yield from (
                        key
                        for key, _ in node.index.values()
                        if key.text.lower().startswith((CLAIMS + ".", CLAIMS + "["))
                    )


def _claim_routes(mesh: Mesh) -> Iterator[Route]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        if next(_claim_headers(resource), None) is not None:
            yield from mesh.routes.of(resource)[:1]


def _proxies_of_route(mesh: Mesh, route: Route) -> Iterator[Proxy]:
    for gateway in route.gateways:
        yield from mesh.exposures.proxies_of(gateway)


def _jwt_rules(authentication: Authentication) -> Place:
    return authentication.resource.place_at("spec", "jwtRules", part="key")
