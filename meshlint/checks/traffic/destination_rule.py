"""Does a DestinationRule apply to anything, do its subsets, and what does it take away from others?

Catalogue: spec traffic 8.5 and dr-port-level-replaces of 8.4; procedures 1.12, 1.13 and 4.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshlint.checks.traffic.neighbours import surest, together
from meshlint.findings import Draft
from meshlint.mesh.client_tls import ClientMode, mode_of
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.existence import HostState, Presence
from meshlint.mesh.hosts import HostIndex, covers, is_wild
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.readers import apart
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import ARGO, ISTIO_NETWORKING, Evidence
from meshlint.mesh.selection import machine_labels
from meshlint.mesh.workloads import RUN_TIME_LABELS
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, int_of, mappings, string_map, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: labels that endpoints have only where their nodes have a value for them
_LOCALITY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
#: labels of endpoints that come from nodes or controllers, not from pod templates
_UNKNOWABLE = RUN_TIME_LABELS | {
    *_LOCALITY,
    "topology.istio.io/network",
    "topology.istio.io/cluster",
    "kubernetes.io/hostname",
    "rollouts-pod-template-hash",
}
#: what an entry of portLevelSettings replaces or drops, besides tls (that is another rule's)
_DROPPED = (
    "outlierDetection", "connectionPool", "loadBalancer", "retryBudget", "tunnel", "proxyProtocol",
)  # fmt: skip
_SERIOUS = frozenset({"outlierDetection", "retryBudget", "tunnel", "proxyProtocol"})
#: how many hidden rules, or rules of one host, are looked at
_ENOUGH = 20
#: how many rules under one wildcard are compared with it
_LOOKED_AT = 500


def host_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in mesh.destination_rules.all:
        written = rule.resource.text("spec", "host") or ""
        if is_placeholder(written):
            continue
        state = mesh.existence.of(written, rule.namespace)
        if state.presence is Presence.MISSING:
            yield Draft(
                rule.resource.place_at("spec", "host"),
                f"{rule.resource.title} applies to nothing: no Service or ServiceEntry with the host "
                f"{state.full} is in the input",
                label="no such host",
                help="correct the host; a name without a dot means a Service in the namespace of the rule",
                confidence=state.confidence,
                equivalents=("IST0174",) if _has_app(mesh, state) else ("IST0174", "KIA0202"),
            )
        elif state.presence is Presence.WILDCARD:
            wildcard = state.services[0]
            yield Draft(
                rule.resource.place_at("spec", "host"),
                f"{rule.resource.title} applies to nothing: {state.full} is only covered by {wildcard.host} "
                f"of {wildcard.resource.title}, and rules are looked up by that wildcard",
                label="no host of its own",
                help=f"write {wildcard.host} as the host, or add {state.full} to the ServiceEntry",
                related=(("the wildcard", wildcard.resource.place_at("spec", "hosts")),),
                confidence=state.confidence,
                equivalents=(),
            )


def _has_app(mesh: Mesh, state: HostState) -> bool:
    """Kiali takes a workload with that app label for the host."""
    name, _, rest = state.full.partition(".")
    namespace = rest.partition(".")[0]
    labels = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
    return any(mesh.workloads.matching({label: name}, namespace) for label in labels)


def subset_no_pods(mesh: Mesh, options: Options) -> Iterator[Draft]:
    used = _used_subsets(mesh)
    for rule in mesh.destination_rules.all:
        if rule.wildcard or not rule.subsets:
            continue
        for subset in rule.subsets:
            labels = string_map(subset.get("labels"))
            confidence = _selects_nothing(mesh, rule, labels) if labels else None
            if confidence is not None:
                yield _no_pods(mesh, rule, subset, labels, confidence, used)


def _no_pods(
    mesh: Mesh,
    rule: DestinationRule,
    subset: YamlMapping,
    labels: dict[str, str],
    confidence: str,
    used: dict[str, set[str]],
) -> Draft:
    name = text_of(subset.get("name")) or ""
    shown = ", ".join(f"{key}={value}" for key, value in labels.items())
    routed = rule.host in used.get(name, ())
    service = mesh.registry.by_host(rule.host)[0]
    everywhere = {key: value for key, value in labels.items() if key not in _UNKNOWABLE}
    anywhere = bool(mesh.workloads.matching(everywhere))
    effect = "requests that are sent there fail with 503" if routed else "no route uses it"
    return Draft(
        rule.resource.place_at("name", inside=subset),
        f"subset {name} of {rule.resource.title} ({shown}) selects none of the endpoints of "
        f"{service.resource.title} that are in the input: {effect}",
        label="selects nothing",
        help="write labels that the pods of the service have",
        related=(("the service", service.resource.place()),),
        confidence=None if confidence == "high" else confidence,
        severity=None if routed else "info",
        equivalents=("KIA0203",) if anywhere else ("IST0173", "KIA0203"),
    )


def _selects_nothing(mesh: Mesh, rule: DestinationRule, labels: dict[str, str]) -> str | None:
    """How sure is it that no endpoint of the host has the labels? None if one has, or it is unknown."""
    services = mesh.registry.by_host(rule.host)
    wanted = {key: value for key, value in labels.items() if key not in _UNKNOWABLE}
    if services and any(labels.get(key) == "" for key in _LOCALITY):
        return "high"
    if not services or not wanted or any(is_placeholder(value) for value in wanted.values()):
        return None
    answers = [_without(mesh, service, wanted) for service in services]
    if any(answer is None for answer in answers):
        return None
    return max((answer or "" for answer in answers), key=("high", "low").index)


def _without(mesh: Mesh, service: Service, wanted: dict[str, str]) -> str | None:
    if service.kind == "service-entry":
        endpoints = service.resource.mappings("spec", "endpoints")
        if endpoints:
            found = any(_within(wanted, string_map(e.get("labels"))) for e in endpoints)
            return None if found else "high"
    if not service.selector or service.kind == "external-name":
        return None
    pods = mesh.registry.workloads_of(service)
    known = [(pod.labels, pod.labels_known) for pod in pods]
    known += [(labels, True) for labels in _machines(mesh, service)]
    if any(not sure or _within(wanted, labels) for labels, sure in known):
        return None
    if mesh.scope.evidence("apps", "Deployment", service.namespace) is Evidence.CLOSED:
        return "high"
    return "low" if known else None


def _within(wanted: dict[str, str], labels: dict[str, str]) -> bool:
    """Are the labels there, or may they be once a template is filled in?"""
    return wanted.items() <= labels.items() or all(
        labels.get(key) == value or is_placeholder(labels.get(key)) for key, value in wanted.items()
    )


def _machines(mesh: Mesh, service: Service) -> Iterator[dict[str, str]]:
    """Labels of the machines that a Service or a ServiceEntry selects."""
    resources = (
        resource
        for kind in ("WorkloadEntry", "WorkloadGroup")
        for resource in mesh.scope.within(ISTIO_NETWORKING, kind, service.namespace)
    )
    for labels in map(machine_labels, resources):
        if _within(service.selector, labels):
            yield labels


def _used_subsets(mesh: Mesh) -> dict[str, set[str]]:
    """Names of subsets that something is sent to, with the hosts for which."""
    used: dict[str, set[str]] = defaultdict(set)
    for reference in mesh.destinations.all:
        if reference.subset:
            used[reference.subset].add(reference.state.full)
    return used


def subset_unused(mesh: Mesh, options: Options) -> Iterator[Draft]:
    if not mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        return
    used = _used_subsets(mesh)
    hosts = {reference.state.full for reference in mesh.destinations.all}
    managed = _managed_subsets(mesh)
    for rule in mesh.destination_rules.all:
        for subset in rule.subsets:
            name = text_of(subset.get("name"))
            if not name or is_placeholder(name) or (rule.namespace, name) in managed:
                continue
            if _sent_to(rule, used.get(name, ())):
                continue
            yield Draft(
                rule.resource.place_at("name", inside=subset),
                f"policy: no VirtualService of the input sends anything to subset {name} of "
                f"{rule.resource.title}",
                label="not used",
                help="route to it, or remove it",
                confidence=_sure_of_routes(mesh, rule, hosts),
            )


def _sent_to(rule: DestinationRule, hosts: Collection[str]) -> bool:
    if not rule.wildcard:
        return rule.host in hosts
    return any(covers(rule.host, host) for host in hosts)


def _sure_of_routes(mesh: Mesh, rule: DestinationRule, hosts: set[str]) -> str | None:
    if mesh.settings.complete:
        return None
    return "medium" if rule.host in hosts and not mesh.settings.remainder else "low"


def _managed_subsets(mesh: Mesh) -> set[tuple[str, str]]:
    """Subsets that an Argo Rollout shifts traffic between."""
    found = set()
    for rollout in mesh.scope.of(ARGO, "Rollout"):
        rule = rollout.mapping("spec", "strategy", "canary", "trafficRouting", "istio", "destinationRule")
        for key in ("canarySubsetName", "stableSubsetName"):
            if rule is not None and (name := text_of(rule.get(key))):
                found.add((rollout.ns, name))
    return found


def subset_without_labels(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in mesh.destination_rules.all:
        state = mesh.existence.of(rule.resource.text("spec", "host") or "", rule.namespace)
        if state.presence is Presence.MISSING:
            continue
        for subset in rule.subsets:
            labels = subset.get("labels")
            if labels is None or (isinstance(labels, YamlMapping) and not labels.index):
                yield Draft(
                    rule.resource.place_at("name", inside=subset),
                    f"subset {text_of(subset.get('name')) or ''} of {rule.resource.title} has no labels, so "
                    "it is every endpoint of the host",
                    label="every endpoint",
                    help="add the labels of its pods, unless only its policy is wanted",
                )


def port_level_replaces(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in mesh.destination_rules.all:
        for name, policy in policies(rule):
            for entry in mappings(policy.get("portLevelSettings")):
                lost = _lost_blocks(rule, name, policy, entry)
                if lost and int_of(entry.dig("port", "number")) is not None:
                    yield _replaced(rule, entry, lost)


def _lost_blocks(
    rule: DestinationRule, subset: str | None, policy: YamlMapping, entry: YamlMapping
) -> list[tuple[str, Place]]:
    """Blocks above an entry that do not count for its port."""
    lost = []
    above = (policy,) if subset is None or rule.traffic_policy is None else (policy, rule.traffic_policy)
    # an entry of a subset leaves alone what only whole policies can say
    names = _DROPPED if subset is None else _DROPPED[:3]
    for name in names:
        written = next((p for p in above if p.get(name) is not None), None)
        if written is not None and entry.get(name) is None:
            lost.append((name, rule.resource.place_at(name, part="key", inside=written)))
    return lost


def _replaced(rule: DestinationRule, entry: YamlMapping, lost: list[tuple[str, Place]]) -> Draft:
    number = entry.dig("port", "number")
    names = " and ".join(name for name, _ in lost) if len(lost) < 3 else ", ".join(name for name, _ in lost)
    return Draft(
        rule.resource.place(number),
        f"{rule.resource.title}: for port {number.text if isinstance(number, Scalar) else ''} only its entry "
        f"counts, and that has no {names}; what is written above does not apply there",
        label="this entry replaces the policy above",
        help="repeat in the entry what is to hold for its port",
        related=tuple((f"{name} is not used for that port", place) for name, place in lost),
        severity=None if any(name in _SERIOUS for name, _ in lost) else "info",
    )


def shadowed(mesh: Mesh, options: Options) -> Iterator[Draft]:
    rules = mesh.destination_rules
    owned: HostIndex[DestinationRule] = HostIndex()
    for rule in rules.all:
        if not rule.wildcard and rule.namespace in _owners(mesh, rule.host):
            owned.add(rule.host, rule)
    within: dict[str, list[DestinationRule]] = {}
    for rule in rules.all:
        if rule.host not in within:
            within[rule.host] = owned.within(rule.host)
        hidden = []
        for other in within[rule.host][:_LOOKED_AT]:
            if other.namespace != rule.namespace and _hides(mesh, rule, other):
                hidden.append(other)
                if len(hidden) == _ENOUGH:
                    break
        if hidden:
            yield _hides_others(mesh, rule, hidden)


def _owners(mesh: Mesh, host: str) -> set[str]:
    """Namespaces of the services with a host; of a Service outside of the input by its name."""
    found = {service.namespace for service in mesh.registry.by_host(host)}
    if found:
        return found
    suffix = f".svc.{mesh.registry.domain}"
    return {host[: -len(suffix)].rpartition(".")[2]} if host.endswith(suffix) else set()


def _hides(mesh: Mesh, rule: DestinationRule, other: DestinationRule) -> bool:
    """Do clients in the namespace of a rule lose something that the owner's rule says?"""
    if not _lost(rule, other):
        return False
    chosen = mesh.destination_rules.lookup(rule.namespace, other.host, other.namespace, rule.selector or None)
    if rule not in chosen or not mesh.destination_rules.exported_to(other, rule.namespace):
        return False
    return not mesh.destinations.behind_waypoint(mesh.registry.by_host(other.host))


def _lost(rule: DestinationRule, other: DestinationRule) -> list[str]:
    """Names of blocks and subsets of the other rule that this one lacks."""
    own, policy = rule.traffic_policy, other.traffic_policy
    blocks = [name for name in (policy or ()) if own is None or own.get(name) is None]
    names = {text_of(subset.get("name")) for subset in rule.subsets}
    subsets = [text_of(s.get("name")) or "" for s in other.subsets if text_of(s.get("name")) not in names]
    return blocks + [f"subset {name}" for name in subsets]


def _drops_mutual(mesh: Mesh, rule: DestinationRule, hidden: list[DestinationRule]) -> bool:
    """Do clients lose mutual TLS, because none is automatic?"""
    if not mesh.config.auto_mtls.is_(False) or any(p.get("tls") is not None for _, p in policies(rule)):
        return False
    tls = [o.traffic_policy.get("tls") for o in hidden if o.traffic_policy is not None]
    return any(node is not None and mode_of(node).is_(ClientMode.MTLS) for node in tls)


def _hides_others(mesh: Mesh, rule: DestinationRule, hidden: list[DestinationRule]) -> Draft:
    first = hidden[0]
    lost = _lost(rule, first)
    count = f"at least {_ENOUGH - 1}" if len(hidden) == _ENOUGH else str(len(hidden) - 1)
    more = f" (and {count} more rules)" if len(hidden) > 1 else ""
    serious = rule.wildcard or any(name.startswith("subset ") for name in lost)
    return Draft(
        rule.resource.place_at("spec", "host"),
        f"{rule.resource.title} hides {first.resource.title}{more} from clients in {rule.namespace}: they "
        f"do without {', '.join(lost)}",
        label=f"goes first for clients in {rule.namespace}",
        help="rules are not merged across namespaces: repeat what is needed, or narrow the host",
        related=tuple(("hidden", other.resource.place_at("spec", "host")) for other in hidden[:2]),
        confidence="medium",
        severity=None if serious else "info",
        equivalents=("KIA0204",) if _drops_mutual(mesh, rule, hidden) else (),
    )


def unreachable_namespace(mesh: Mesh, options: Options) -> Iterator[Draft]:
    root = mesh.config.root
    for rule in mesh.destination_rules.all:
        owners = _owners(mesh, rule.host)
        if not owners or rule.namespace in owners or rule.namespace == root or is_wild(rule.host):
            continue
        guests = [
            item
            for item in texts(rule.resource.get("spec", "exportTo"))
            if item.text not in (".", "*", rule.namespace) and not is_placeholder(item.text)
        ]
        owner = min(owners)
        own = mesh.destination_rules.exported_to(rule, rule.namespace)
        if guests:
            yield _nobody(rule, rule.resource.place(guests[0]), guests[0].text, owner, not own)
        elif confidence := _no_clients(mesh, rule):
            sure = None if confidence == "high" else confidence
            yield _nobody(rule, rule.resource.place_at("spec", "host"), "other namespaces", owner, True, sure)


def _nobody(
    rule: DestinationRule, place: Place, who: str, owner: str, dead: bool, confidence: str | None = None
) -> Draft:
    effect = "so nobody uses it" if dead else "so that export has no effect"
    return Draft(
        place,
        f"{rule.resource.title} is for a service of {owner}: clients in {who} look for rules in their own "
        f"namespace, in {owner} and in the root namespace, not in {rule.namespace}, {effect}",
        label="not looked up",
        help=f"move the rule to {owner}, or to the namespace of the clients",
        confidence=confidence,
    )


def _no_clients(mesh: Mesh, rule: DestinationRule) -> str | None:
    """How sure is it that no pods run in the namespace of a rule?"""
    if mesh.workloads.within(rule.namespace):
        return None
    if mesh.scope.evidence("apps", "Deployment", rule.namespace) is Evidence.CLOSED:
        return "high"
    return "low" if mesh.workloads.all else None


@dataclass(frozen=True, slots=True)
class _Conflict:
    """What two rules of one host and namespace disagree about; `older` tells who loses."""

    says: str
    older_loses: bool
    places: tuple[Place, ...] = ()


def duplicate_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    groups: dict[tuple[str, str, frozenset[tuple[str, str]]], list[DestinationRule]] = defaultdict(list)
    for rule in mesh.destination_rules.all:
        groups[rule.namespace, rule.host, frozenset(rule.selector.items())].append(rule)
    for rules in groups.values():
        if len({rule.resource.name for rule in rules}) > 1:
            yield from _competing(mesh, rules)


def _competing(mesh: Mesh, rules: list[DestinationRule]) -> Iterator[Draft]:
    for rule in rules:
        for other in surest(mesh, rule.resource, rules[:_ENOUGH], lambda one: one.resource):
            if rule.resource.name == other.resource.name or apart(rule.resource, other.resource):
                continue
            conflict = _conflict(rule, other)
            if conflict is None or not _may_lose(rule, other, conflict):
                continue
            draft = _duplicate(rule, other, conflict)
            yield replace(draft, confidence=together(mesh, rule.resource, other.resource))
            break


def _conflict(rule: DestinationRule, other: DestinationRule) -> _Conflict | None:
    if not _merged(rule, other):
        if not _same_clients(rule, other):
            return None
        return _Conflict("only the newer of the two is used, as their exportTo differ", older_loses=True)
    mine, theirs = rule.traffic_policy, other.traffic_policy
    if mine is not None and theirs is not None and mine.plain() != theirs.plain():
        place = other.resource.place_at("spec", "trafficPolicy", part="key")
        return _Conflict("only the trafficPolicy of the older one is used", False, (place,))
    same = {text_of(s.get("name")): s for s in other.subsets}
    for subset in rule.subsets:
        twin = same.get(text_of(subset.get("name")))
        if twin is not None and twin.plain() != subset.plain():
            place = other.resource.place_at("name", inside=twin)
            name = text_of(subset.get("name"))
            return _Conflict(f"only the older one's definition of subset {name} is used", False, (place,))
    return None


def _merged(rule: DestinationRule, other: DestinationRule) -> bool:
    """Does Istio merge the two? The lists count as they are written, and the newer may be the wider."""
    mine, theirs = set(rule.export_to or ()), set(other.export_to or ())
    return mine == theirs or (bool(mine) and bool(theirs) and (mine < theirs or theirs < mine))


def _same_clients(rule: DestinationRule, other: DestinationRule) -> bool:
    own = rule.namespace
    mine, theirs = (
        {own if name == "." else name for name in one.export_to or ("*",)} for one in (rule, other)
    )
    return "*" in mine or "*" in theirs or bool(mine & theirs)


def _may_lose(rule: DestinationRule, other: DestinationRule, conflict: _Conflict) -> bool:
    """False where creation times are written and say that the other one loses."""
    mine, theirs = (r.resource.text("metadata", "creationTimestamp") or "" for r in (rule, other))
    if not mine or not theirs or mine == theirs:
        return True
    return (mine < theirs) is conflict.older_loses


def _duplicate(rule: DestinationRule, other: DestinationRule, conflict: _Conflict) -> Draft:
    names = {text_of(subset.get("name")) for subset in rule.subsets}
    others = {text_of(subset.get("name")) for subset in other.subsets}
    overlap = not names or not others or bool(names & others)
    return Draft(
        rule.resource.place_at("spec", "host"),
        f"{rule.resource.title} and {other.resource.title} are both for {rule.host}: {conflict.says}",
        label="the same host in the same namespace",
        help="put both into one DestinationRule",
        related=tuple(
            ("the other one", place)
            for place in (conflict.places or (other.resource.place_at("spec", "host"),))
        ),
        equivalents=("KIA0201",) if overlap else (),
    )
