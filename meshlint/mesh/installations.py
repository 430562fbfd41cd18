"""Which control planes does the input install, and where does each of them say how it is configured?

The sources of spec security 7.1. A Source holds layers of settings, strongest first, for the mesh
configuration, for the values of the charts and for the environment of istiod.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Any

from meshlint.mesh.labels import REVISION
from meshlint.mesh.scope import ARGO, KYMA_GATEWAY
from meshlint.mesh.workloads import POD_TEMPLATES
from meshlint.records import dataclass
from meshlint.resources import Resource
from meshlint.source.embedded import embedded
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, text_of
from meshlint.source.parse import parse

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

INSTALL = "install.istio.io"
SAIL = "sailoperator.io"
KYMA_OPERATOR = "operator.kyma-project.io"
MAISTRA = "maistra.io"
FLUX = "helm.toolkit.fluxcd.io"

#: What Kyma's module sets before the user's `spec.config` (spec security 7.5, traffic 6.7).
_KYMA_MESH: dict[str, Any] = {
    "trustDomain": "cluster.local",
    "rootNamespace": "istio-system",
    "enableTracing": False,
    "enablePrometheusMerge": False,
    "defaultConfig": {"holdApplicationUntilProxyStarts": True},
    "defaultProviders": {"metrics": ["prometheus"], "tracing": []},
    "extensionProviders": [
        {
            "name": "kyma-traces",
            "opentelemetry": {
                "service": "telemetry-otlp-traces.kyma-system.svc.cluster.local",
                "port": 4317,
            },
        },
        {
            "name": "kyma-logs",
            "envoyOtelAls": {
                "service": "telemetry-otlp-logs.kyma-system.svc.cluster.local",
                "port": 4317,
            },
        },
        {"name": "stdout-json", "envoyFileAccessLog": {"path": "/dev/stdout"}},
        {"name": "envoy", "envoyFileAccessLog": {"path": "/dev/stdout"}},
    ],
}
_KYMA_VALUES: dict[str, Any] = {
    "global": {"proxy": {"autoInject": "enabled"}, "istioNamespace": "istio-system"},
    "sidecarInjectorWebhook": {"enableNamespacesByDefault": False, "rewriteAppHTTPProbe": True},
    "pilot": {"cni": {"enabled": True}, "env": {"PILOT_HTTP10": "1"}},
}
AMBIENT_PROFILES = ("ambient", "openshift-ambient")
#: Profiles that istioctl and the charts bring along (spec security 7.4); any other is a file of the user's.
_PROFILES = frozenset(
    {"", "default", "demo", "minimal", "empty", "remote", "preview", "stable", "openshift", *AMBIENT_PROFILES}
)
#: What the profile `demo` adds to the mesh configuration; no other profile adds anything that is asked for.
_DEMO_MESH: dict[str, Any] = {
    "accessLogFile": "/dev/stdout",
    "extensionProviders": [
        {
            "name": "otel",
            "envoyOtelAls": {
                "service": "opentelemetry-collector.observability.svc.cluster.local",
                "port": 4317,
            },
        },
        {
            "name": "skywalking",
            "skywalking": {"service": "tracing.istio-system.svc.cluster.local", "port": 11800},
        },
        {
            "name": "otel-tracing",
            "opentelemetry": {
                "service": "opentelemetry-collector.observability.svc.cluster.local",
                "port": 4317,
            },
        },
        {
            "name": "jaeger",
            "opentelemetry": {"service": "jaeger-collector.istio-system.svc.cluster.local", "port": 4317},
        },
    ],
}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Settings below the path `at`: `node` is the value of that path. `resource` holds the node."""

    at: tuple[str, ...]
    node: Node
    resource: Resource | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One object or file that configures a control plane.

    `revision` is '' for the default one and None where the source does not tell. `mesh`, `values` and
    `env` are None where the source never speaks of them. `partial`: files outside of it may say more.
    `assumed`: nothing proves that the control plane uses it. `broken` says why its mesh configuration
    cannot be used.
    """

    kind: str
    resource: Resource | None
    revision: str | None = ""
    namespace: str | None = None
    mesh: tuple[Layer, ...] | None = None
    values: tuple[Layer, ...] | None = None
    env: tuple[Layer, ...] | None = None
    profile: str = ""
    compatibility: bool = False
    partial: bool = False
    assumed: bool = False
    broken: str = ""
    problems: tuple[tuple[str, Scalar], ...] = field(default=())

    @property
    def installs(self) -> bool:
        """Does it make a control plane (and is not a mere values file or setting)?"""
        return self.kind not in ("config", "values", "injector")

    @property
    def title(self) -> str:
        if self.resource is None:
            return "the configuration file" if self.kind == "config" else "the defaults of Kyma"
        if self.resource.name and self.resource.kind:
            return self.resource.title
        return f"{self.resource.kind} in {self.resource.file.path}".removeprefix(" in ")


def sources_of(mesh: Mesh) -> list[Source]:
    """Everything that configures a control plane, most rendered first."""
    scope = mesh.scope
    found: list[Source | None] = []
    config_maps = scope.of("", "ConfigMap")
    found.extend(_config_map(r) for r in config_maps if r.name == "istio" or r.name.startswith("istio-"))
    found.extend(_deployment(r) for r in scope.of("apps", "Deployment") if r.name.startswith("istiod"))
    found.extend(_kyma(mesh))
    found.extend(_sail(r) for r in scope.of(SAIL, "Istio", "IstioRevision"))
    found.extend(_maistra(r) for r in scope.of(MAISTRA, "ServiceMeshControlPlane"))
    found.extend(_operator(r) for r in scope.of(INSTALL, "IstioOperator"))
    found.extend(_helm(r, release) for r, release in releases(mesh) if release.chart == "istiod")
    found.extend(_values_files(mesh))
    sources = [source for source in found if source is not None]
    if not scope.settings.platform and any(s.installs and not s.assumed for s in sources):
        return [s for s in sources if s.resource is not None]  # what is there counts more than a guess
    return sources


def from_settings(mesh: Mesh) -> Source | None:
    """The `meshConfig` of meshlint's own configuration file."""
    data = mesh.settings.mesh_config
    return None if data is None else Source("config", None, None, mesh=(_built_in(data),))


def _config_map(resource: Resource) -> Source | None:
    for prefix, read in (("istio-sidecar-injector", _injector), ("istio", _mesh_config_map)):
        if resource.name == prefix or resource.name.startswith(prefix + "-"):
            return read(resource, resource.name[len(prefix) + 1 :])
    return None


def _mesh_config_map(resource: Resource, revision: str) -> Source | None:
    text = resource.get("data", "mesh")
    if not isinstance(text, Scalar):
        return None
    read = embedded(resource.file, text)
    root, broken = read.root, ""
    problems: tuple[tuple[str, Scalar], ...] = ()
    if read.templated or not _has_plain_keys(root):
        root, broken = None, "data.mesh is templated"
    elif read.problem is not None:
        broken = "data.mesh is not valid YAML"
        problems = ((f"data.mesh does not parse: {read.problem[0]}", read.problem[1]),)
    elif root is not None and not isinstance(root, Mapping):
        broken = "data.mesh is no mapping"
        problems = (("data.mesh is no YAML mapping", text),)
    layers = (Layer((), root, resource),) if isinstance(root, Mapping) else ()
    return Source(
        "configmap", resource, revision, _written(resource), mesh=layers, broken=broken, problems=problems
    )


def _has_plain_keys(root: Node | None) -> bool:
    """False for ``{{ ... }}``, which is a mapping with a mapping as its key."""
    return not isinstance(root, Mapping) or all(isinstance(key, Scalar) for key, _ in root.items)


def _injector(resource: Resource, revision: str) -> Source | None:
    layers = []
    partial = False
    for key in ("config", "values"):
        text = resource.get("data", key)
        if not isinstance(text, Scalar):
            continue
        read = embedded(resource.file, text)
        root = read.root
        if read.problem is not None or not isinstance(root, Mapping):
            partial = True
        elif key == "values":
            layers.append(Layer((), root, resource))
        else:
            layers.append(Layer(("sidecarInjectorWebhook",), root, resource))
            layers += _layer(("global", "proxy", "autoInject"), root.get("policy"), resource)
    if not layers and not partial:
        return None
    return Source("injector", resource, revision, _written(resource), values=tuple(layers), partial=partial)


def _deployment(resource: Resource) -> Source | None:
    name, _, suffix = resource.name.partition("-")
    container = next(iter(_discovery(resource)), None)
    if name != "istiod" or container is None:
        return None
    env = tuple(_environment(container.get("env"), resource))
    revision = resource.labels.get(REVISION, suffix)
    return Source(
        "deployment", resource, "" if revision == "default" else revision, _written(resource), env=env
    )


def _discovery(resource: Resource) -> list[Mapping]:
    path = POD_TEMPLATES["apps", "Deployment"]
    containers = resource.mappings(*path, "spec", "containers")
    return [c for c in containers if text_of(c.get("name")) == "discovery"]


def _kyma(mesh: Mesh) -> Iterator[Source]:
    resources = mesh.scope.of(KYMA_OPERATOR, "Istio")
    for resource in resources:
        layers = [*_kyma_layers(resource), _built_in(_KYMA_MESH)]
        yield Source(
            "kyma",
            resource,
            namespace="istio-system",
            mesh=tuple(layers),
            values=(_built_in(_KYMA_VALUES),),
            env=(_built_in(_KYMA_VALUES["pilot"]["env"]),),
            compatibility=text_of(resource.get("spec", "compatibilityMode")) == "true",
        )
    if not resources and is_kyma(mesh):
        yield Source(
            "kyma",
            None,
            namespace="istio-system",
            mesh=(_built_in(_KYMA_MESH),),
            values=(_built_in(_KYMA_VALUES),),
            env=(_built_in(_KYMA_VALUES["pilot"]["env"]),),
            partial=True,
            assumed=True,
        )


def is_kyma(mesh: Mesh) -> bool:
    """Does the user say so, or does the input hold objects that only Kyma's modules read?"""
    scope = mesh.scope
    if scope.settings.platform:
        return scope.settings.platform == "kyma"
    return bool(scope.of(KYMA_OPERATOR, "Istio") or scope.of(KYMA_GATEWAY, "APIRule"))


#: field of `spec.config` of Kyma's Istio -> field of the mesh configuration
_KYMA_FIELDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("trustDomain",), ("trustDomain",)),
    (("numTrustedProxies",), ("defaultConfig", "gatewayTopology", "numTrustedProxies")),
    (("forwardClientCertDetails",), ("defaultConfig", "gatewayTopology", "forwardClientCertDetails")),
    (("enableDNSProxying",), ("defaultConfig", "proxyMetadata", "ISTIO_META_DNS_CAPTURE")),
    (("telemetry", "metrics", "prometheusMerge"), ("enablePrometheusMerge",)),
    (("proxyStatsMatcher",), ("defaultConfig", "proxyStatsMatcher")),
)


def _kyma_layers(resource: Resource) -> Iterator[Layer]:
    for path, at in _KYMA_FIELDS:
        yield from _layer(at, resource.get("spec", "config", *path), resource)
    authorizers = resource.get("spec", "config", "authorizers")
    if isinstance(authorizers, Sequence):
        yield Layer(("extensionProviders",), Sequence(
            authorizers.start, authorizers.end, [_as_provider(a) for a in mappings(authorizers)], False
        ), resource)  # fmt: skip


def _as_provider(authorizer: Mapping) -> Node:
    """An authorizer of Kyma is the `envoyExtAuthzHttp` of an extension provider."""
    start, end = authorizer.start, authorizer.end
    pairs = [
        (key, value) for key, value in authorizer.items if isinstance(key, Scalar) and key.text == "name"
    ]
    kind = Scalar(start, end, "envoyExtAuthzHttp", "", None)
    return Mapping(start, end, [*pairs, (kind, authorizer)], False)


def _sail(resource: Resource) -> Source:
    values = resource.get("spec", "values")
    profile = text_of(resource.get("spec", "profile")) or ""
    name = "" if resource.name == "default" else resource.name
    if text_of(resource.get("spec", "updateStrategy", "type")) == "RevisionBased":
        version = text_of(resource.get("spec", "version"))
        name = f"{resource.name}-{version.replace('.', '-')}" if version else None  # type: ignore[assignment]
    return Source(
        "sail",
        resource,
        name,
        text_of(resource.get("spec", "namespace")) or "istio-system",
        mesh=(*_mesh_layers(values, resource), *_profile(profile)),
        values=tuple(_layer((), values, resource)),
        env=_env_layers(values, resource),
        profile=profile,
        partial=profile not in _PROFILES,
    )


def _maistra(resource: Resource) -> Source:
    return Source(
        "maistra",
        resource,
        None,
        _written(resource),
        mesh=(),
        values=(),
        env=(),
        broken="OpenShift Service Mesh 2 follows rules of its own, which meshlint does not read",
    )


def _operator(resource: Resource) -> Source | None:
    spec = resource.mapping("spec") or Mapping(0, 0, [], False)
    values = spec.get("values")
    profile = text_of(spec.get("profile")) or ""
    pilot = text_of(spec.dig("components", "pilot", "enabled"))
    mesh = (*_mesh_layers(values, resource), *_layer((), spec.get("meshConfig"), resource))
    if pilot == "false" or (profile == "empty" and pilot != "true" and not mesh):
        return None  # an installation of gateways or of other parts
    revision = spec.get("revision") or (values.dig("revision") if values else None)
    extra = [
        *_layer((), values, resource),
        *_layer(("pilot", "cni", "enabled"), spec.dig("components", "cni", "enabled"), resource),
        *_layer(("global", "hub"), spec.get("hub"), resource),
        *_layer(("global", "tag"), spec.get("tag"), resource),
    ]
    return Source(
        "operator",
        resource,
        text_of(revision) or "",
        text_of(values.dig("global", "istioNamespace") if values else None) or "istio-system",
        mesh=(*mesh, *_profile(profile)),
        values=tuple(extra),
        env=(
            *_environment(spec.dig("components", "pilot", "k8s", "env"), resource),
            *_env_layers(values, resource),
        ),
        profile=profile,
        partial=profile not in _PROFILES,
        compatibility=_says(spec.get("compatibilityVersion"), values, "compatibilityVersion"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """A chart that Argo CD or Flux installs: `layers` are its values, strongest first."""

    chart: str
    namespace: str | None
    layers: tuple[Layer, ...]
    partial: bool
    node: Node

    def text(self, *path: str) -> str | None:
        """The scalar at a path of the values."""
        for layer in self.layers:
            if path[: len(layer.at)] == layer.at:
                found = text_of(layer.node.dig(*path[len(layer.at) :]))
                if found is not None:
                    return found
        return None


def releases(mesh: Mesh) -> Iterator[tuple[Resource, Release]]:
    """Every Helm release that the input declares, with the resource that declares it."""
    for resource in mesh.scope.of(FLUX, "HelmRelease"):
        chart = resource.get("spec", "chart", "spec", "chart")
        if isinstance(chart, Scalar):
            namespace = text_of(resource.get("spec", "targetNamespace")) or _written(resource)
            layers = tuple(_layer((), resource.get("spec", "values"), resource))
            partial = resource.get("spec", "valuesFrom") is not None
            yield resource, Release(_chart(chart), namespace, layers, partial, chart)
    for resource in mesh.scope.of(ARGO, "Application"):
        yield from _argo_releases(resource, resource.mapping("spec"))
    for resource in mesh.scope.of(ARGO, "ApplicationSet"):
        yield from _argo_releases(resource, resource.mapping("spec", "template", "spec"))


def _chart(node: Scalar) -> str:
    return node.text.rstrip("/").rpartition("/")[2]


def _argo_releases(resource: Resource, spec: Mapping | None) -> Iterator[tuple[Resource, Release]]:
    if spec is None:
        return
    namespace = text_of(spec.dig("destination", "namespace"))
    one = spec.get("source")
    for source in [*mappings(spec.get("sources")), *([one] if isinstance(one, Mapping) else [])]:
        chart = source.get("chart")
        if not isinstance(chart, Scalar):
            continue
        layers: list[Layer] = []
        for parameter in mappings(source.dig("helm", "parameters")):
            name, value = text_of(parameter.get("name")), parameter.get("value")
            if name and isinstance(value, Scalar):
                typed = Scalar(value.start, value.end, value.text, "", None)  # helm types what it is given
                layers.append(Layer(tuple(name.split(".")), typed, resource))
        layers += _layer((), source.dig("helm", "valuesObject"), resource)
        text = source.dig("helm", "values")
        if isinstance(text, Scalar):
            layers += _layer((), embedded(resource.file, text).root, resource)
        partial = source.dig("helm", "valueFiles") is not None
        yield resource, Release(_chart(chart), namespace, tuple(layers), partial, chart)


def _helm(resource: Resource, release: Release) -> Source:
    nested = [(layer.at, layer) for layer in release.layers]
    profile = release.text("profile") or release.text("global", "profile") or ""
    return Source(
        "helm",
        resource,
        release.text("revision") or "",
        release.text("global", "istioNamespace") or release.namespace,
        mesh=(*_below(("meshConfig",), nested), *_profile(profile)),
        values=release.layers,
        env=(*_below(("pilot", "env"), nested), *_below(("env",), nested)),
        profile=profile,
        compatibility=release.text("compatibilityVersion") is not None,
        partial=release.partial or profile not in _PROFILES,
    )


def _below(path: tuple[str, ...], layers: Iterable[tuple[tuple[str, ...], Layer]]) -> Iterator[Layer]:
    """The layers as seen from a path of the values."""
    for at, layer in layers:
        if at[: len(path)] == path:
            yield Layer(at[len(path) :], layer.node, layer.resource)
        elif path[: len(at)] == at:
            yield from _layer((), layer.node.dig(*path[len(at) :]), layer.resource)


def _values_files(mesh: Mesh) -> Iterator[Source]:
    """Values files that nothing ties to the chart: used only if they clearly speak of istiod."""
    for file in mesh.files:
        for document in file.documents:
            root = document.root
            if not isinstance(root, Mapping) or root.get("kind") is not None:
                continue
            for values in (root, root.get("istiod"), root.get("istio-discovery")):
                if isinstance(values, Mapping) and (
                    isinstance(values.get("meshConfig"), Mapping)
                    or values.dig("global", "istioNamespace") is not None
                ):
                    holder = Resource(document, root)
                    yield Source(
                        "values",
                        holder,
                        text_of(values.get("revision")),
                        text_of(values.dig("global", "istioNamespace")),
                        mesh=_mesh_layers(values, holder),
                        values=(Layer((), values, holder),),
                        env=_env_layers(values, holder),
                        profile=text_of(values.get("profile")) or "",
                        compatibility=values.get("compatibilityVersion") is not None,
                        partial=True,
                        assumed=True,
                    )


def _profile(name: str) -> list[Layer]:
    return [_built_in(_DEMO_MESH)] if name == "demo" else []


def _mesh_layers(values: Node | None, resource: Resource) -> tuple[Layer, ...]:
    return tuple(_layer((), values.dig("meshConfig") if values is not None else None, resource))


def _env_layers(values: Node | None, resource: Resource) -> tuple[Layer, ...]:
    if values is None:
        return ()
    return (*_layer((), values.dig("pilot", "env"), resource), *_layer((), values.dig("env"), resource))


def _environment(env: Node | None, resource: Resource) -> Iterator[Layer]:
    for entry in mappings(env):
        name = text_of(entry.get("name"))
        value = entry.get("value") or entry.get("valueFrom")
        if name and value is not None:
            yield Layer((name,), value, resource)


def _layer(at: tuple[str, ...], node: Node | None, resource: Resource | None) -> list[Layer]:
    return [] if node is None else [Layer(at, node, resource)]


def _says(node: Node | None, values: Node | None, key: str) -> bool:
    return node is not None or (values is not None and values.dig(key) is not None)


def _written(resource: Resource) -> str | None:
    return resource.ns if resource.namespace_written else None


def _built_in(data: Any) -> Layer:
    document = parse("", json.dumps(data, ensure_ascii=False)).documents[0]
    return Layer((), document.root or Mapping(0, 0, [], True))
