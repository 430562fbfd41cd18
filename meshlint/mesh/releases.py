"""What did which release of Istio remove, and what does it need? (spec traffic 7.2, 7.5, 7.8)

Tables only. Deprecated fields are in `tools/facts/deprecated.json`, from where the schemas get them; versions
of kinds and fields are in the schemas; changes of behaviour are in `checks.upgrade`.
"""

from __future__ import annotations

from typing import Final

from meshlint.records import dataclass

#: the newest release that these tables know
NEWEST: Final = "1.32"


@dataclass(frozen=True, slots=True)
class Removal:
    """An API that a release of Istio removed, and what took its place."""

    release: str
    instead: str


#: group, or group/kind -> its removal; the kind goes before the group
REMOVED: Final[dict[str, Removal]] = {
    "authentication.istio.io/MeshPolicy": Removal("1.6", "PeerAuthentication in the root namespace"),
    "authentication.istio.io": Removal("1.6", "PeerAuthentication and RequestAuthentication"),
    "rbac.istio.io": Removal("1.7", "AuthorizationPolicy"),
    "config.istio.io/QuotaSpec": Removal("1.8", "a rate limit service"),
    "config.istio.io/QuotaSpecBinding": Removal("1.8", "a rate limit service"),
    "config.istio.io": Removal("1.8", "Telemetry, WasmPlugin, or a rate limit service"),
    "mixer.istio.io": Removal("1.8", "Telemetry, WasmPlugin, or a rate limit service"),
}

#: the release without a definition of IstioOperator, and without a controller for it
NO_OPERATOR: Final = "1.24"

#: the release that checks the definitions of the Gateway API (IST0176), and what it asks for
CHECKS_GATEWAY_API: Final = "1.31"
OLDEST_DEFINITIONS: Final[dict[str, str]] = {
    "grpcroutes.gateway.networking.k8s.io": "1.1.0",
    "backendtlspolicies.gateway.networking.k8s.io": "1.4.0",
    "tlsroutes.gateway.networking.k8s.io": "1.5.0",
    "tcproutes.gateway.networking.k8s.io": "1.6.0",
}
#: definitions of the Gateway API -> the versions that they have to serve for Istio (IST0156, IST0172)
SERVED_DEFINITIONS: Final[dict[str, tuple[str, ...]]] = {
    "gatewayclasses.gateway.networking.k8s.io": ("v1beta1", "v1"),
    "gateways.gateway.networking.k8s.io": ("v1beta1", "v1"),
    "httproutes.gateway.networking.k8s.io": ("v1beta1", "v1"),
    "referencegrants.gateway.networking.k8s.io": ("v1beta1",),
}


_PROVIDERS: Final = "define an extension provider and name it in a Telemetry"
#: settings of the mesh configuration that are no longer wanted -> what becomes of them, what to do
DEPRECATED_SETTINGS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("certificates",): ("is ignored", "remove it, and let a certificate manager make the certificates"),
    ("verifyCertificateAtClient",): ("is ignored: certificates are always verified", "remove it"),
    ("defaultConfig", "zipkinAddress"): ("is deprecated", _PROVIDERS),
    ("defaultConfig", "tracing", "lightstep"): ("is ignored by releases without that tracer", _PROVIDERS),
    ("defaultConfig", "tracing", "openCensusAgent"): (
        "is ignored by releases without that tracer",
        _PROVIDERS,
    ),
    ("defaultConfig", "tracing", "stackdriver"): ("is ignored by releases without that tracer", _PROVIDERS),
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A part of Istio's API that is not stable. `path` leads through lists; '' is the kind as a whole."""

    group: str
    kind: str
    path: tuple[str, ...]
    stage: str
    feature: str


_EXTENDED: Final = "outside of the stable channel"

#: without EnvoyFilter, which has a rule of its own
EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    Experiment("extensions.istio.io", "WasmPlugin", (), "alpha", "WasmPlugin"),
    Experiment("extensions.istio.io", "TrafficExtension", (), _EXTENDED, "TrafficExtension"),
    Experiment("networking.istio.io", "ProxyConfig", (), _EXTENDED, "ProxyConfig"),
    Experiment(
        "telemetry.istio.io", "Telemetry", ("spec", "tracing", "useRequestIdForTraceSampling"), _EXTENDED,
        "useRequestIdForTraceSampling",
    ),
    Experiment(
        "telemetry.istio.io", "Telemetry", ("spec", "metrics", "reportingInterval"), _EXTENDED,
        "reportingInterval",
    ),
    Experiment(
        "telemetry.istio.io", "Telemetry", ("spec", "accessLogging", "filter"), _EXTENDED,
        "a filter of access logs",
    ),
    Experiment(
        "security.istio.io", "AuthorizationPolicy", ("spec", "rules", "from", "source", "trustDomains"),
        _EXTENDED, "trustDomains",
    ),
    Experiment(
        "security.istio.io", "AuthorizationPolicy", ("spec", "rules", "from", "source", "notTrustDomains"),
        _EXTENDED, "notTrustDomains",
    ),
    Experiment(
        "security.istio.io", "AuthorizationPolicy", ("metadata", "annotations", "istio.io/dry-run"), "alpha",
        "the dry run of a policy",
    ),
    Experiment(
        "security.istio.io", "RequestAuthentication", ("spec", "jwtRules", "outputClaimToHeaders"),
        "experimental", "copying claims to headers",
    ),
    Experiment("multicluster.x-k8s.io", "ServiceImport", (), "experimental", "ServiceImport"),
    Experiment("multicluster.x-k8s.io", "ServiceExport", (), "experimental", "ServiceExport"),
)  # fmt: skip
