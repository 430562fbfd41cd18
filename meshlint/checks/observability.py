"""Checks of the family observability about the mesh configuration and labels (spec traffic 8.6, 6.2 to 6.6).

What is about Telemetry objects is in `telemetry`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from meshlint.checks.traffic.neighbours import together
from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.destination_rules import DestinationRule
from meshlint.mesh.existence import Presence
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import ISTIO_TELEMETRY, Evidence
from meshlint.mesh.telemetry import LOGGING, TRACING
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import int_of, mappings, string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: labels that name the application and its version, strongest first (spec traffic 6.6)
APP_LABELS: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
VERSION_LABELS: Final = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
_SHORT_LIVED: Final = frozenset({"Pod", "Job", "CronJob", "ReplicaSet", "ReplicationController"})


# -- tracing-not-exported, access-log-none ---------------------------------------------------------


def tracing_not_exported(mesh: Mesh, options: Options) -> Iterator[Draft]:
    exporter = mesh.telemetry.legacy_exporter
    defaults = mesh.telemetry.defaults(TRACING)
    if not exporter.is_(False) or not defaults.known or defaults.value or not exporter.certain:
        return
    if exporter.reason or any(t.says(TRACING) for t in mesh.telemetry.all):
        return
    yield from _of_installations(
        mesh,
        "names no provider of traces and no Telemetry does: proxies make spans that nobody receives",
        "spans go nowhere",
        "define a provider in meshConfig.extensionProviders and name it in a Telemetry of the root namespace",
    )


def access_log_none(mesh: Mesh, options: Options) -> Iterator[Draft]:
    file = mesh.config.setting("accessLogFile")
    defaults = mesh.telemetry.defaults(LOGGING)
    if not file.known or file.value or not file.certain or not defaults.known or defaults.value:
        return
    if any(t.says(LOGGING) for t in mesh.telemetry.all):
        return
    yield from _of_installations(
        mesh,
        "sets neither accessLogFile nor a provider of access logs, and no Telemetry does: proxies write no "
        "access logs",
        "no access logs",
        "set accessLogFile to /dev/stdout, or name the provider envoy in a Telemetry of the root namespace",
    )


def _of_installations(mesh: Mesh, says: str, label: str, advice: str) -> Iterator[Draft]:
    """One finding for each control plane of the input; what Kyma or a setting installs has no place."""
    evidence = mesh.scope.evidence(ISTIO_TELEMETRY, "Telemetry", mesh.config.root)
    if evidence is Evidence.OPEN:
        return
    for source in mesh.config.sources:
        if source.mesh is None or source.resource is None or not source.installs or source.broken:
            continue
        yield Draft(
            _mesh_place(source.resource),
            f"policy: {source.title} {says}",
            label=label,
            help=advice,
            confidence=None if evidence is Evidence.CLOSED else "low",
        )


def _mesh_place(resource: Resource) -> Place:
    """The place of the mesh configuration in what installs a control plane."""
    for path in (("spec", "meshConfig"), ("spec", "values", "meshConfig"), ("data", "mesh"), ("meshConfig",)):
        if resource.get(*path) is not None:
            return resource.place_at(*path, part="key")
    return resource.place()


# -- labels-app-version, labels-version-latest -----------------------------------------------------


def labels_app_version(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Workloads that are known to be in the mesh and serve something, without the labels of metrics."""
    for workload in mesh.workloads.all:
        if workload.kind in _SHORT_LIVED or workload.partial or not workload.labels_known:
            continue
        if workload.control_plane or any(
            fnmatchcase(workload.namespace, p) for p in options["ignore_namespaces"]
        ):
            continue
        missing = [
            what for what, names in (("app", APP_LABELS), ("version", VERSION_LABELS))
            if not any(name in workload.labels for name in names)
        ]  # fmt: skip
        if missing and _serves_in_mesh(mesh, workload):
            yield _unlabelled(workload, missing)


def _serves_in_mesh(mesh: Mesh, workload: Workload) -> bool:
    plane = mesh.data_planes.of(workload)
    return plane.is_(DataPlane.SIDECAR, DataPlane.AMBIENT) and bool(mesh.registry.services_of(workload))


def _unlabelled(workload: Workload, missing: list[str]) -> Draft:
    names = {"app": APP_LABELS, "version": VERSION_LABELS}
    outside = [n for what in missing for n in names[what] if n in workload.resource.labels and workload.path]
    effects = {
        "app": f"metrics call it {workload.name}, after its object",
        "version": 'every version of it counts as "latest"',
    }
    where = "; the label of the object itself does not count" if outside else ""
    path = ("metadata", "labels") if workload.labels else ("metadata",)
    return Draft(
        workload.pod_place(*path, part="key"),
        f"policy: the pods of {workload.title} have no label {' and no label '.join(missing)}: "
        f"{' and '.join(effects[what] for what in missing)}{where}",
        label=f"without {' and '.join(missing)}",
        help="add app and version, or app.kubernetes.io/name and app.kubernetes.io/version, to the labels of "
        "the pod template",
        related=tuple(
            ("this label is on the object, not on its pods",
             workload.resource.place_at("metadata", "labels", name, part="pair"))
            for name in outside[:1]
        ),
        severity=None if "app" in missing or outside else "info",
    )  # fmt: skip


def labels_version_latest(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Pods without a version beside subsets that choose by it: no subset has them."""
    said: set[int] = set()
    for rule in mesh.destination_rules.all:
        if rule.wildcard or rule.selector or not _by_version(rule):
            continue
        for service in mesh.registry.by_host(rule.host):
            if not mesh.destination_rules.used_by_somebody(rule, service.host, service.namespace):
                continue
            for workload in mesh.registry.workloads_of(service):
                if id(workload) not in said and _versionless(workload):
                    said.add(id(workload))
                    yield _latest(workload, rule, service)


def _by_version(rule: DestinationRule) -> bool:
    """Does every subset choose by a label of versions?"""
    subsets = [string_map(subset.get("labels")) for subset in rule.subsets]
    return bool(subsets) and all(any(n in labels for n in VERSION_LABELS) for labels in subsets)


def _versionless(workload: Workload) -> bool:
    if workload.partial or not workload.labels_known:
        return False
    return not any(name in workload.labels for name in VERSION_LABELS)


def _latest(workload: Workload, rule: DestinationRule, service: Service) -> Draft:
    return Draft(
        workload.pod_place("metadata", "labels", part="key"),
        f"the pods of {workload.title} have no version, while {rule.resource.title} divides {service.name} "
        'into subsets by version: no subset has these pods, and metrics call them "latest"',
        label="no version among the labels",
        help="add the version label that the subsets choose by",
        related=(("the subsets choose by version", rule.resource.place_at("spec", "subsets", part="key")),),
        resource=workload.resource,
    )


# -- labels-same-canonical -------------------------------------------------------------------------


def labels_same_canonical(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Workloads whose metrics and spans are those of one service and version."""
    found: dict[tuple[str, str, str], list[Workload]] = defaultdict(list)
    for workload in mesh.workloads.all:
        if workload.kind in _SHORT_LIVED or workload.partial or not workload.labels_known:
            continue
        name, version = _first(workload, APP_LABELS), _first(workload, VERSION_LABELS) or "latest"
        if name and not is_placeholder(name) and not is_placeholder(version):
            found[workload.namespace, name, version].append(workload)
    for (_, name, version), workloads in found.items():
        if len({workload.resource.key for workload in workloads}) < 2:
            continue
        inside = [w for w in workloads if mesh.data_planes.in_mesh(w) is True and not w.control_plane]
        for workload in inside[1:]:
            if workload.resource.key != inside[0].resource.key:
                yield _same_canonical(mesh, inside[0], workload, name, version)


def _first(workload: Workload, names: tuple[str, ...]) -> str:
    return next((workload.labels[name] for name in names if workload.labels.get(name)), "")


def _same_canonical(mesh: Mesh, first: Workload, workload: Workload, name: str, version: str) -> Draft:
    label = next(label for label in APP_LABELS if workload.labels.get(label))
    return Draft(
        workload.pod_place("metadata", "labels", label),
        f"policy: {workload.title} and {first.title} are both {name} in version {version} for metrics, "
        "traces and graphs, which add up what they do",
        label=f"the same as {first.title}",
        help=f"give them different names in {label}, or label the versions",
        related=(("the other", first.resource.place()),),
        confidence=together(mesh, workload.resource, first.resource),
    )


# -- extension-provider-service --------------------------------------------------------------------

_WITH_SERVICE: Final = (
    "opentelemetry", "zipkin", "datadog", "skywalking", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls",
    "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "sds",
)  # fmt: skip


def extension_provider_service(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for name, settings, place in _providers(mesh):
        written = text_of(settings.get("service"))
        if not written or is_placeholder(written):
            continue
        draft = _absent_service(mesh, name, written, settings, place) or _wrong_port(
            mesh, name, written, settings, place
        )
        if draft is not None:
            yield draft


def _providers(mesh: Mesh) -> Iterator[tuple[str, YamlMapping, Place]]:
    """Every provider with a service: its name, its settings, and its place."""
    for source in mesh.config.sources:
        for layer in source.mesh or ():
            if layer.resource is None or source.broken:
                continue
            for entry in _entries(layer.at, layer.node):
                name = text_of(entry.get("name")) or ""
                for kind in _WITH_SERVICE:
                    settings = entry.get(kind)
                    if isinstance(settings, YamlMapping) and not is_placeholder(name):
                        yield name, settings, Place(layer.resource, settings)


def _entries(at: tuple[str, ...], node: object) -> list[YamlMapping]:
    if at == ("extensionProviders",):
        return mappings(node)  # type: ignore[arg-type]
    if at or not isinstance(node, YamlMapping):
        return []
    return mappings(node.get("extensionProviders"))


def _found(mesh: Mesh, written: str) -> list[Service]:
    namespace, slash, host = written.rpartition("/")
    services = mesh.registry.by_host(host if slash else written)
    return [s for s in services if not slash or s.namespace == namespace]


def _absent_service(mesh: Mesh, name: str, written: str, settings: YamlMapping, place: Place) -> Draft | None:
    namespace, _, host = written.rpartition("/")
    if _found(mesh, written):
        return None
    if "." not in host:
        return _short_name(mesh, name, host, settings, place)
    state = mesh.existence.of(host, namespace or mesh.config.root)
    if state.presence not in (Presence.MISSING, Presence.UNQUALIFIED):
        return None
    hint = f"write {state.meant}" if state.meant else "correct the name, or add the Service or ServiceEntry"
    return Draft(
        place.resource.place(settings.get("service")),
        f"the provider {name} sends to {written}, which is no service of the mesh: proxies get no "
        "cluster for it and leave the provider out",
        label="no such service",
        help=hint,
        confidence=state.confidence,
    )


def _short_name(mesh: Mesh, name: str, host: str, settings: YamlMapping, place: Place) -> Draft:
    return Draft(
        place.resource.place(settings.get("service")),
        f"the provider {name} sends to {host}, but a provider belongs to no namespace in which a short name "
        "could be looked up: proxies get no cluster for it and leave the provider out",
        label="not a full name",
        help=f"write the full name, {host}.<namespace>.svc.{mesh.registry.domain}",
    )


def _wrong_port(mesh: Mesh, name: str, written: str, settings: YamlMapping, place: Place) -> Draft | None:
    number = int_of(settings.get("port"))
    services = [s for s in _found(mesh, written) if s.ports]
    if number is None or not services or any(s.port(number) for s in services):
        return None
    ports = sorted({p.number for s in services for p in s.ports})
    return Draft(
        place.resource.place(settings.get("port")),
        f"the provider {name} sends to port {number} of {written}, which has only {_listed(ports)}: proxies "
        "get no cluster for it and leave the provider out",
        label="no such port",
        help="write a port of the Service, not that of its containers",
        related=(("the ports of the service", services[0].resource.place_at("spec", "ports", part="key")),),
    )


def _listed(ports: list[int]) -> str:
    return ", ".join(str(port) for port in ports)
