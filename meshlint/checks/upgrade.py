"""What will behave differently for these manifests after an upgrade of Istio? (spec traffic 7.4)

`CHANGES` is the table; each entry finds the objects that it concerns. Changes that need no edit of the mesh
and are new fields (retry budgets of 1.27, prefixRewrite of 1.31) are left to `field-too-new`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.hosts import HostIndex, is_wild
from meshlint.mesh.injection import NATIVE
from meshlint.mesh.labels import AUTO_ALLOCATE, GATEWAY_NAME, OLD_GATEWAY_NAME
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING, ISTIO_TELEMETRY
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.schema.compile import numbers
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Scalar, Sequence, int_of, is_true, mappings, text_of, texts

Options = Mapping[str, Any]
#: the place that is concerned, and others that have to do with it
Concern = tuple[Place, tuple[tuple[str, Place], ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """`flag` is the environment variable of istiod that brings the old behaviour back, '' if none does.

    `says` goes on after the title of the object that is concerned; `advice` is what to do before.
    """

    release: str
    flag: str
    says: str
    advice: str
    concerns: Callable[[Mesh], Iterator[Concern]]


def behaviour_change(mesh: Mesh, options: Options) -> Iterator[Draft]:
    start, target = mesh.settings.upgrade_from, mesh.settings.upgrade_to
    if not start or not target:
        return
    for change in CHANGES:
        if not numbers(start)[:2] < numbers(change.release) <= numbers(target)[:2]:
            continue
        fixed = mesh.config.feature(change.flag) if change.flag else None
        if fixed is not None and fixed.known and fixed.value is not None:
            continue
        kept = fixed is not None and fixed.unknown
        for place, related in change.concerns(mesh):
            draft = Draft(
                place,
                f"{place.resource.title}: from Istio {change.release} on, {change.says}",
                label=f"changes with {change.release}",
                help=change.advice,
                related=related,
            )
            yield replace(draft, confidence="medium") if kept else draft


# -- 1.21 and 1.22 --------------------------------------------------------------------------------


def _external_names(mesh: Mesh) -> Iterator[Concern]:
    for service in mesh.registry.services:
        if service.kind == "external-name":
            yield service.resource.place_at("spec", "externalName"), ()


def _unverified(mesh: Mesh) -> Iterator[Concern]:
    """TLS of clients without a certificate authority."""
    for resource, tls in _client_tls(mesh):
        names = ("caCertificates", "credentialName", "insecureSkipVerify")
        if not any(name in tls.index for name in names):
            yield resource.place(tls.get("mode")), ()


def _without_sni(mesh: Mesh) -> Iterator[Concern]:
    for resource, tls in _client_tls(mesh):
        if "sni" not in tls.index:
            yield resource.place(tls.get("mode")), ()


def _client_tls(mesh: Mesh) -> Iterator[tuple[Resource, MappingNode]]:
    """Blocks of DestinationRules that originate TLS."""
    for rule in mesh.destination_rules.all:
        policies = [rule.traffic_policy, *(subset.get("trafficPolicy") for subset in rule.subsets)]
        for policy in policies:
            if not isinstance(policy, MappingNode):
                continue
            for holder in (policy, *mappings(policy.get("portLevelSettings"))):
                tls = holder.get("tls")
                if isinstance(tls, MappingNode) and text_of(tls.get("mode")) in ("SIMPLE", "MUTUAL"):
                    yield rule.resource, tls


def _overlapping_wildcards(mesh: Mesh) -> Iterator[Concern]:
    """Wildcards of VirtualServices of the mesh that lie within those of others."""
    index: HostIndex[tuple[Resource, Scalar]] = HostIndex()
    written = []
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        gateways = [item.text for item in texts(resource.get("spec", "gateways"))]
        for host in texts(resource.get("spec", "hosts")):
            if is_wild(host.text) and (not gateways or "mesh" in gateways):
                index.add(host.text, (resource, host))
                written.append((resource, host))
    for resource, host in written:
        wider = [
            (other, node)
            for other, node in index.covering(host.text)
            if other.key != resource.key and node.text != host.text
        ]
        if wider:
            related = tuple(("the wider host", other.place(node)) for other, node in wider[:3])
            yield resource.place(host), related


def _zipkin(mesh: Mesh) -> Iterator[Concern]:
    for service in mesh.scope.find("", "Service", mesh.config.root, "zipkin"):
        yield service.place(), ()


# -- 1.24 and 1.25 --------------------------------------------------------------------------------


def _default_retries(mesh: Mesh) -> Iterator[Concern]:
    """Rules that retry without saying on what."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        for rule in resource.mappings("spec", "http"):
            retries = rule.get("retries")
            if not isinstance(retries, MappingNode) or "retryOn" in retries.index:
                continue
            if (int_of(retries.get("attempts")) or 0) > 0:
                yield resource.place(retries.key("attempts")), ()


def _unmerged_rules(mesh: Mesh) -> Iterator[Concern]:
    """DestinationRules of one namespace and host that are exported differently."""
    for rules in mesh.destination_rules.by_host.values():
        first: dict[str, Resource] = {}
        for rule in rules:
            other = first.setdefault(rule.namespace, rule.resource)
            if other.name != rule.resource.name and _exports(other) != _exports(rule.resource):
                related = (("the same host, exported differently", other.place_at("spec", "host")),)
                yield rule.resource.place_at("spec", "host"), related


def _exports(resource: Resource) -> frozenset[str]:
    return frozenset(item.text for item in texts(resource.get("spec", "exportTo")))


def _old_gateway_label(mesh: Mesh) -> Iterator[Concern]:
    """Selectors with the label that pods of Gateways no longer carry."""
    paths = (
        ("spec", "selector"),
        ("spec", "selector", "matchLabels"),
        ("spec", "workloadSelector", "labels"),
        ("spec", "workloadSelector", "matchLabels"),
        ("spec", "podSelector", "matchLabels"),
    )
    for resource in mesh.scope.resources:
        for path in paths:
            labels = resource.get(*path)
            if isinstance(labels, MappingNode) and OLD_GATEWAY_NAME in labels.index:
                yield resource.place(labels.key(OLD_GATEWAY_NAME)), ()


def _without_address(mesh: Mesh) -> Iterator[Concern]:
    """ServiceEntries that get an address of their own."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "ServiceEntry"):
        hosts = texts(resource.get("spec", "hosts"))
        resolution = resource.text("spec", "resolution") or "NONE"
        decided = resource.get("spec", "addresses") is not None or AUTO_ALLOCATE in resource.labels
        if hosts and resolution != "NONE" and not decided and not all(is_wild(h.text) for h in hosts):
            yield resource.place(hosts[0]), ()


# -- 1.27 to 1.30 ---------------------------------------------------------------------------------


def _native_sidecars(mesh: Mesh) -> Iterator[Concern]:
    """Injected pods for which it matters that the proxy starts before init containers and ends last."""
    for workload in mesh.workloads.all:
        if NATIVE in workload.annotations:
            continue
        job = workload.kind in ("Job", "CronJob")
        if not job and not workload.init_containers:
            continue
        injected = mesh.injection.of(workload)
        if not injected.known or injected.value is None or "sidecar" not in injected.value.templates:
            continue
        node = workload.pod_spec.key("initContainers") if workload.pod_spec and not job else None
        yield workload.resource.place(node), tuple(("injected", place) for place in injected.because[:1])


def _mirrors(mesh: Mesh) -> Iterator[Concern]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        for rule in resource.mappings("spec", "http"):
            key = rule.key("mirror") or rule.key("mirrors")
            if key is not None:
                yield resource.place(key), ()
    for resource in mesh.scope.of(GATEWAY_API, "HTTPRoute", "GRPCRoute"):
        for rule in resource.mappings("spec", "rules"):
            for entry in mappings(rule.get("filters")):
                if text_of(entry.get("type")) == "RequestMirror":
                    yield resource.place(entry.get("type")), ()


def _tracing(mesh: Mesh) -> Iterator[Concern]:
    for resource in mesh.scope.of(ISTIO_TELEMETRY, "Telemetry"):
        entries = resource.mappings("spec", "tracing")
        if entries and not all(is_true(entry.get("disableSpanReporting")) for entry in entries):
            yield resource.place_at("spec", "tracing", part="key"), ()


def _limits(mesh: Mesh) -> Iterator[Concern]:
    for rule in mesh.destination_rules.all:
        pool = rule.traffic_policy.key("connectionPool") if rule.traffic_policy else None
        if pool is not None:
            yield rule.resource.place(pool), ()


def _hosts_of_several_namespaces(mesh: Mesh) -> Iterator[Concern]:
    """Hosts that ServiceEntries of several namespaces define, where a Sidecar chooses what to import."""
    if not mesh.scope.of(ISTIO_NETWORKING, "Sidecar"):
        return
    by_host: dict[str, dict[str, Resource]] = defaultdict(dict)
    for service in mesh.registry.services:
        by_host[service.host].setdefault(service.namespace, service.resource)
    for homes in by_host.values():
        if len(homes) > 1:
            first, *others = homes.values()
            yield first.place(), tuple(("the same host", other.place()) for other in others[:3])


# -- 1.31 -----------------------------------------------------------------------------------------


def _merged_gateways(mesh: Mesh) -> Iterator[Concern]:
    """Gateways of Istio on pods that a Gateway of the Gateway API in another namespace made."""
    made: dict[str, list[Resource]] = defaultdict(list)
    for resource in mesh.scope.of(GATEWAY_API, "Gateway"):
        made[resource.name].append(resource)
    for gateway in mesh.gateways.all:
        name = gateway.selector.get(GATEWAY_NAME) if gateway.api == "istio" else None
        owners = made.get(name or "", [])
        if name is not None and all(owner.ns != gateway.namespace for owner in owners):
            related = tuple(("made by this Gateway", owner.place()) for owner in owners[:3])
            place = gateway.resource.place_at("spec", "selector", GATEWAY_NAME, part="pair")
            yield place, related


def _outliers(mesh: Mesh) -> Iterator[Concern]:
    """Outlier detection that never gives up: no share of endpoints that have to be healthy."""
    for rule in mesh.destination_rules.all:
        policy = rule.traffic_policy
        block = policy.get("outlierDetection") if policy else None
        if policy is not None and isinstance(block, MappingNode):
            least = int_of(block.get("minHealthPercent"))
            if not least and not isinstance(block.get("minHealthPercent"), Sequence | MappingNode):
                yield rule.resource.place(policy.key("outlierDetection")), ()


def _exclusions(mesh: Mesh) -> Iterator[Concern]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "Sidecar"):
        for listener in resource.mappings("spec", "egress"):
            for host in texts(listener.get("hosts")):
                if host.text.startswith("~/") and host.text != "~/*":
                    yield resource.place(host), ()


CHANGES: Final[tuple[Change, ...]] = (
    Change(
        "1.21", "ENABLE_EXTERNAL_NAME_ALIAS",
        "an ExternalName is an alias: its own ports and DestinationRules count no more, those of the name "
        "it stands for do",
        "write routes and DestinationRules for the external name, with a ServiceEntry if it needs settings",
        _external_names,
    ),
    Change(
        "1.21", "VERIFY_CERTIFICATE_AT_CLIENT",
        "the certificate of the server is verified by the CAs of the system; before, nobody verified it",
        "name the CA in caCertificates if it is a private one",
        _unverified,
    ),
    Change(
        "1.21", "ENABLE_AUTO_SNI",
        "the server name of the TLS connection is taken from the Host header",
        "set sni if the server needs another name",
        _without_sni,
    ),
    Change(
        "1.21", "PERSIST_OLDEST_FIRST_HEURISTIC_FOR_VIRTUAL_SERVICE_HOST_MATCHING",
        "the most specific wildcard decides; before the oldest VirtualService did",
        "check which of the rules requests are to take",
        _overlapping_wildcards,
    ),
    Change(
        "1.22", "",
        "traces are no longer sent to zipkin in the root namespace by default",
        "define an extension provider for it and name that in a Telemetry",
        _zipkin,
    ),
    Change(
        "1.24", "EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY",
        "retries without retryOn leave out responses of 503",
        "write retryOn, with 503 if requests are safe to repeat",
        _default_retries,
    ),
    Change(
        "1.24", "ENABLE_ENHANCED_DESTINATIONRULE_MERGE",
        "it is merged with others of its host only where exportTo fits",
        "write one DestinationRule per host, or the same exportTo in all",
        _unmerged_rules,
    ),
    Change(
        "1.24", "",
        f"pods of Gateways no longer carry the label {OLD_GATEWAY_NAME}, so it selects none of them",
        f"select by {GATEWAY_NAME}",
        _old_gateway_label,
    ),
    Change(
        "1.25", "PILOT_ENABLE_IP_AUTOALLOCATE",
        "its hosts get addresses of their own, which clients with DNS proxying resolve them to",
        f'label it {AUTO_ALLOCATE}: "false" if clients need the real addresses',
        _without_address,
    ),
    Change(
        "1.27", "ENABLE_NATIVE_SIDECARS",
        "its proxy is a native sidecar where the nodes know those: init containers behind it send through "
        "the mesh, and Jobs end by themselves",
        "drop what works around the order of containers and the end of Jobs",
        _native_sidecars,
    ),
    Change(
        "1.28", "DISABLE_SHADOW_HOST_SUFFIX",
        "mirrored requests keep the Host header; before it ended in -shadow",
        "look for servers and dashboards that tell mirrored requests by the suffix",
        _mirrors,
    ),
    Change(
        "1.28", "",
        "gateways add a span of their own to each trace",
        "check alerts and costs that count spans",
        _tracing,
    ),
    Change(
        "1.29", "DISABLE_TRACK_REMAINING_CB_METRICS",
        "whether the metrics of what is left of its limits are kept has another default",
        "check dashboards that show remaining connections, requests and retries",
        _limits,
    ),
    Change(
        "1.30", "PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE",
        "of several namespaces that define its host the client's own goes first, then a Kubernetes Service, "
        "then the oldest; before it was the first by alphabet in places",
        "import the host from one namespace in the Sidecar",
        _hosts_of_several_namespaces,
    ),
    Change(
        "1.31", "PILOT_ENABLE_STRICT_GATEWAY_MERGING",
        "it is not applied to gateways that a Gateway in another namespace made",
        "move it to the namespace of the Gateway, or use listeners of that Gateway",
        _merged_gateways,
    ),
    Change(
        "1.31", "",
        "unhealthy endpoints are sent to proxies too unless minHealthPercent is above 0",
        "set minHealthPercent above 0 to keep them away",
        _outliers,
    ),
    Change(
        "1.31", "",
        "a host that begins with ~/ is an exclusion from all namespaces, beside what else is imported",
        "write ~/* to import nothing",
        _exclusions,
    ),
)  # fmt: skip
