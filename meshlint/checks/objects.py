"""Which objects are used by nothing, reach further than meant, or leave to chance where they live?

Catalogue: spec traffic 8.8; KIA0005 is spec kiali-validations 3.1. What is about the text and about
identities is in `hygiene`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from meshlint.checks.admission.blocks import judged, spec
from meshlint.findings import Draft
from meshlint.mesh.hosts import is_wild
from meshlint.mesh.labels import EXPORT_TO
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.routes import gateway_key
from meshlint.mesh.scope import (
    GATEWAY_API,
    ISTIO_EXTENSIONS,
    ISTIO_NETWORKING,
    ISTIO_SECURITY,
    ISTIO_TELEMETRY,
    KYMA_GATEWAY,
    Evidence,
)
from meshlint.mesh.selection import brought_along, machines_may_have
from meshlint.mesh.workloads import POD_TEMPLATES, RUN_TIME_LABELS, Workload
from meshlint.resources import CLUSTER_SCOPED, Place, Resource
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, Sequence, int_of, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_EXPORTED: Final = ("DestinationRule", "ServiceEntry", "VirtualService")
_MESH_GROUPS: Final = frozenset(
    (ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY, ISTIO_EXTENSIONS, GATEWAY_API, KYMA_GATEWAY)
)
_SHOWN: Final = 5
#: the label and the names of the Gateways for which Knative writes VirtualServices
_OF_KNATIVE: Final = "networking.knative.dev/ingress-provider"
_KNATIVE: Final = frozenset(("knative-ingress-gateway", "knative-local-gateway"))


# -- missing-namespace ----------------------------------------------------------------------------


def missing_namespace(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """One finding per file: the cure is one line in each object, or one for the whole file."""
    by_file: dict[str, list[Resource]] = defaultdict(list)
    for resource in mesh.scope.resources:
        if not resource.namespace_written and resource.name and _has_namespace(resource):
            by_file[resource.file.path].append(resource)
    for resources in by_file.values():
        first, *others = resources
        who = f"{first.kind} {first.name} names"
        if others:
            who = f"{first.kind} {first.name} and {len(others)} more of this file name"
        yield Draft(
            first.place(),
            f"policy: {who} no namespace: where that lands depends on the context of whoever applies it",
            label="no namespace",
            help="write metadata.namespace",
            related=tuple(("no namespace either", other.place()) for other in others[:_SHOWN]),
        )


def _has_namespace(resource: Resource) -> bool:
    """An object of the mesh or of its workloads that has to live in a namespace, and is told none."""
    if resource.namespace is None or resource.kind in CLUSTER_SCOPED:
        return False
    if resource.build is not None or _placeholder_namespace(resource):
        return False
    if resource.group in _MESH_GROUPS or (resource.group, resource.kind) in POD_TEMPLATES:
        return True
    return not resource.group and resource.kind in ("Service", "ServiceAccount")


def _placeholder_namespace(resource: Resource) -> bool:
    """The key is there, with a value that a template fills in."""
    return resource.metadata is not None and "namespace" in resource.metadata.index


# -- exportto-star, exportto-unknown-namespace ----------------------------------------------------


def export_to_star(mesh: Mesh, options: Options) -> Iterator[Draft]:
    patterns = tuple(options.get("hosts", ()))
    implicit = bool(options.get("implicit"))
    for resource in mesh.scope.of(ISTIO_NETWORKING, *_EXPORTED):
        block = spec(resource)
        if block is None:
            continue
        hosts = [text for _, text in block.texts("hosts")] or [block.text("host") or ""]
        if not any(fnmatchcase(host, pattern) for host in hosts for pattern in patterns):
            continue
        stars = [item for item, text in block.texts("exportTo") if text == "*"]
        if stars or (implicit and "exportTo" not in block.node.index):
            yield Draft(
                resource.place(stars[0]) if stars else resource.place(),
                f"policy: {resource.title} is exported to every namespace",
                label="for everybody",
                help='name the namespaces that need it in exportTo, or "." for its own',
            )


def export_to_unknown_namespace(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, node, name in _exports(mesh):
        if name in (".", "*", "~", "") or is_placeholder(name) or mesh.scope.inhabited(name):
            continue
        sure = _namespace_missing(mesh, name)
        if sure is None:
            continue
        yield Draft(
            resource.place(node),
            f"{resource.title} is exported to the namespace {name}, which does not exist",
            label="no such namespace",
            help="correct the name, or drop the entry",
            confidence=None if sure is Evidence.CLOSED else "low",
        )


def grant_unknown_namespace(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """References that a ReferenceGrant admits from a namespace that does not exist."""
    for grant in mesh.scope.of(GATEWAY_API, "ReferenceGrant"):
        for origin in grant.mappings("spec", "from"):
            node = origin.get("namespace")
            name = text_of(node)
            if node is None or not name or is_placeholder(name) or mesh.scope.inhabited(name):
                continue
            sure = _namespace_missing(mesh, name)
            if sure is not None:
                yield Draft(
                    grant.place(node),
                    f"{grant.title} admits references from the namespace {name}, which does not exist",
                    label="no such namespace",
                    help="correct the name, or drop the entry: it waits for whoever makes the namespace",
                    confidence=None if sure is Evidence.CLOSED else "low",
                )


def _exports(mesh: Mesh) -> Iterator[tuple[Resource, Scalar, str]]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, *_EXPORTED):
        for item in texts(resource.get("spec", "exportTo")):
            yield resource, item, item.text
    for resource in mesh.scope.of("", "Service"):
        written = resource.annotations.get(EXPORT_TO)
        node = resource.get("metadata", "annotations", EXPORT_TO) if written else None
        if isinstance(node, Scalar):
            for part in node.text.split(","):
                yield resource, node, part.strip()


def _namespace_missing(mesh: Mesh, name: str) -> Evidence | None:
    """Is a namespace that nothing of the input lives in known not to exist?"""
    if mesh.namespaces.known(name) or mesh.scope.may_exist("Namespace", name):
        return None
    settings = mesh.settings
    if settings.complete:
        return Evidence.CLOSED
    listed = bool(mesh.scope.of("", "Namespace")) and not settings.remainder
    return Evidence.LIKELY if listed else None


# -- short-host, wildcard-dr-host -----------------------------------------------------------------


def short_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    resources = mesh.scope.of(ISTIO_NETWORKING, "VirtualService", "DestinationRule")
    if len({resource.ns for resource in resources}) < 2:
        return
    for resource in resources:
        short = [node for node in _hosts(resource) if _is_short(node)]
        if not short:
            continue
        first = short[0]
        yield Draft(
            resource.place(first),
            f"policy: {resource.title} names the host {first.text}, which means {first.text}.{resource.ns}: "
            "the namespace of the rule counts, not that of the client",
            label=f"means {mesh.registry.resolve(first.text, resource.ns)}",
            help=f"write {mesh.registry.resolve(first.text, resource.ns)}",
            related=tuple(("a short name too", resource.place(node)) for node in short[1:_SHOWN]),
        )


def _is_short(node: Scalar) -> bool:
    text = judged(node)
    return bool(text) and "." not in (text or "") and not is_wild(text or "")


def _hosts(resource: Resource) -> Iterator[Scalar]:
    host = resource.get("spec", "host")
    if isinstance(host, Scalar):
        yield host
    yield from texts(resource.get("spec", "hosts"))
    for protocol in ("http", "tls", "tcp"):
        for rule in resource.mappings("spec", protocol):
            for destination in _items(rule.get("route")):
                node = destination.dig("destination", "host")
                if isinstance(node, Scalar):
                    yield node


def _items(node: Node | None) -> Iterable[Node]:
    return node.items if isinstance(node, Sequence) else ()


def wildcard_dr_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    root = mesh.config.root
    assumed = not mesh.config.root_namespace.certain
    cluster = f".svc.{mesh.registry.domain}"
    for rule in mesh.destination_rules.all:
        if not rule.wildcard or rule.namespace == root or is_placeholder(rule.host):
            continue
        tail = rule.host[1:]
        if not cluster.endswith(tail) and not _of_another_namespace(tail, cluster, rule.namespace):
            continue
        resource = rule.resource
        yield Draft(
            resource.place_at("spec", "host"),
            f"{resource.title} is for {rule.host} and lies in the namespace {rule.namespace}: for clients "
            "there it hides the DestinationRules of other services' owners, with their subsets and limits",
            label=f"hides rules of other namespaces from {rule.namespace}",
            help=f"move it to the root namespace {root}, where any rule of a service goes before it, or name "
            "the hosts that are meant",
            confidence="medium" if assumed else None,
        )


def _of_another_namespace(tail: str, cluster: str, own: str) -> bool:
    """Is ``*.pay.svc.cluster.local`` meant, from a namespace other than pay?"""
    if not tail.endswith(cluster) or not tail.startswith("."):
        return False
    namespace = tail[1 : -len(cluster)]
    return "." not in namespace and namespace not in ("", own)


# -- dead-object ----------------------------------------------------------------------------------


def dead_object(mesh: Mesh, options: Options) -> Iterator[Draft]:
    yield from _dead_delegates(mesh)
    yield from _dead_gateways(mesh)
    yield from _dead_providers(mesh)


def _dead_delegates(mesh: Mesh) -> Iterator[Draft]:
    confidence = _confidence(mesh)
    seen = set()
    for route in mesh.routes.all:
        resource = route.resource
        if route.api != "VirtualService" or route.bound or id(resource) in seen:
            continue
        seen.add(id(resource))
        yield Draft(
            resource.place(),
            f"{resource.title} has no hosts, so it only works as a delegate, and no VirtualService delegates "
            "to it",
            label="no root names it",
            help="name it in delegate of a VirtualService with hosts, or remove it",
            confidence=confidence,
        )


def _dead_gateways(mesh: Mesh) -> Iterator[Draft]:
    """Gateways of Istio that serve no VirtualService; those that redirect or pass through may be fine."""
    if not mesh.scope.of(ISTIO_NETWORKING, "VirtualService") and not mesh.settings.complete:
        return
    used = set()
    for route in mesh.routes.all:
        binding = route.binding
        for gateway in (*binding.gateways, *binding.other_gateways, *binding.unsure_gateways):
            used.add((gateway.namespace, gateway.name))
    used.update(_named_by_operators(mesh))
    for gateway in mesh.gateways.all:
        if gateway.api != "istio" or (gateway.namespace, gateway.name) in used or not gateway.servers:
            continue
        if all(server.https_redirect or server.tls_mode == "AUTO_PASSTHROUGH" for server in gateway.servers):
            continue
        yield Draft(
            gateway.resource.place(),
            f"{gateway.resource.title} is named by no route: it opens ports and answers with 404 only",
            label="no route names it",
            help="name it in gateways of a VirtualService, or remove it",
            confidence=_confidence(mesh),
        )


def _named_by_operators(mesh: Mesh) -> Iterator[tuple[str, str]]:
    """Gateways for which a controller writes VirtualServices: those of Flagger's canaries and of Knative."""
    for canary in mesh.scope.of("flagger.app", "Canary"):
        for item in texts(canary.get("spec", "service", "gateways")):
            namespace, _, name = gateway_key(item.text, canary.ns).partition("/")
            yield namespace, name
    for gateway in mesh.gateways.all:
        if _OF_KNATIVE in gateway.resource.labels or gateway.name in _KNATIVE:
            yield gateway.namespace, gateway.name


def _dead_providers(mesh: Mesh) -> Iterator[Draft]:
    names = _provider_names(mesh)
    for source in mesh.config.sources:
        for layer in source.mesh or ():
            listed = layer.node.dig("extensionProviders") if layer.resource and not layer.at else None
            for entry in _items(listed):
                name = entry.dig("name")
                text = judged(name)
                if layer.resource is not None and isinstance(name, Scalar) and text and text not in names:
                    yield _dead_provider(layer.resource.place(name), text, _confidence(mesh))


def _dead_provider(place: Place, name: str, confidence: str | None) -> Draft:
    return Draft(
        place,
        f"{place.resource.title} defines the extension provider {name}, which nothing uses",
        label="nothing uses it",
        help="name it in a Telemetry, an AuthorizationPolicy or defaultProviders, or remove it",
        confidence=confidence,
    )


def _provider_names(mesh: Mesh) -> set[str]:
    """Every provider that a Telemetry, a policy or the mesh configuration names."""
    found: set[str] = set()
    for resource in mesh.scope.of(ISTIO_TELEMETRY, "Telemetry"):
        for part in ("tracing", "metrics", "accessLogging"):
            for entry in resource.mappings("spec", part):
                for provider in _items(entry.get("providers")):
                    found.add(text_of(provider.dig("name")) or "")
    for resource in mesh.scope.of(ISTIO_SECURITY, "AuthorizationPolicy"):
        found.add(resource.text("spec", "provider", "name") or "")
    for part in ("tracing", "metrics", "accessLogging"):
        default = mesh.config.setting("defaultProviders", part)
        if default.known and isinstance(default.value, list):
            found.update(str(name) for name in default.value)
    return found


def _confidence(mesh: Mesh) -> str | None:
    """What names an object may be outside of the input, unless that is the whole mesh."""
    return None if mesh.settings.complete else "low"


# -- service-selector-empty-match -----------------------------------------------------------------


def service_selector_empty_match(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for service in mesh.registry.services:
        if service.resource.kind != "Service" or not service.selector or mesh.registry.workloads_of(service):
            continue
        if not RUN_TIME_LABELS.isdisjoint(service.selector) or _templated(service.selector):
            continue
        if brought_along(mesh, service.selector) or machines_may_have(
            mesh, service.selector, service.namespace
        ):
            continue
        yield from _selects_nothing(mesh, service)


def _selects_nothing(mesh: Mesh, service: Service) -> Iterator[Draft]:
    workloads = mesh.workloads.within(service.namespace)
    if any(not workload.labels_known or _templated(workload.labels) for workload in workloads):
        return
    if mesh.scope.beside.may_apply("Pod", service.namespace):
        return
    near = _namesake(service, workloads)
    closed = mesh.settings.complete or service.namespace in mesh.settings.complete_namespaces
    if not closed and (not workloads or mesh.settings.remainder or _unknown_makers(mesh, service)):
        return
    resource = service.resource
    labels = ", ".join(f"{key}: {value}" for key, value in service.selector.items())
    yield Draft(
        resource.place_at("spec", "selector", part="key"),
        f"{resource.title} selects pods with {labels}, and no workload of the namespace has them: it has no "
        "endpoints, and requests to it fail with 503",
        label="selects no pod",
        help="make the selector equal to labels of the pod template",
        related=(("the labels of these pods differ", near.pod_place("metadata", "labels", part="key")),)
        if near
        else (),
        confidence=None if closed else "medium" if near else "low",
    )


def _namesake(service: Service, workloads: list[Workload]) -> Workload | None:
    """The workload that was most likely meant: it has the name of the Service."""
    return next((w for w in workloads if w.name == service.name and not w.partial), None)


def _unknown_makers(mesh: Mesh, service: Service) -> bool:
    """May the pods be made by an object that is no workload, or be those of a gateway?"""
    gateway = "istio" in service.selector or any(key.startswith("gateway.") for key in service.selector)
    return gateway or mesh.existence.service_missing(service.namespace, service.name) is None


def _templated(labels: Mapping[str, str]) -> bool:
    return any(is_placeholder(value) for value in labels.values())


# -- deployment-replicas-1 ------------------------------------------------------------------------


def deployment_replicas_1(mesh: Mesh, options: Options) -> Iterator[Draft]:
    ignored = tuple(options.get("ignore_namespaces", ()))
    scaled = set(_scaled(mesh))
    several = {r.key for r in mesh.scope.of("apps", "Deployment") if not _single(r)}
    for resource in mesh.scope.of("apps", "Deployment"):
        if any(fnmatchcase(resource.ns, pattern) for pattern in ignored):
            continue
        if (resource.ns, resource.name) in scaled or resource.key in several:
            continue
        yield Draft(
            resource.place_at("spec", "replicas") if _replicas(resource) else resource.place(),
            f"policy: {resource.title} runs a single pod: while it restarts or moves, every request fails; "
            "retries and outlier detection have no other pod to turn to",
            label="one pod",
            help="set spec.replicas to 2 or more, or scale it with a HorizontalPodAutoscaler",
        )


def _replicas(resource: Resource) -> Node | None:
    return resource.get("spec", "replicas")


def _single(resource: Resource) -> bool:
    """One replica, written or by default; a patch without containers says nothing."""
    node = _replicas(resource)
    if node is None:
        return isinstance(resource.get("spec", "template", "spec", "containers"), Sequence)
    return int_of(node) == 1


def _scaled(mesh: Mesh) -> Iterator[tuple[str, str]]:
    """Deployments that something scales."""
    targets = (
        *mesh.scope.of("autoscaling", "HorizontalPodAutoscaler"),
        *mesh.scope.of("keda.sh", "ScaledObject"),
    )
    for resource in targets:
        reference = resource.get("spec", "scaleTargetRef")
        if isinstance(reference, MappingNode):
            yield resource.ns, text_of(reference.get("name")) or ""
