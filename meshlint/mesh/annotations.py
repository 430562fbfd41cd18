"""Which annotations does Istio know, on what may they sit, and which values do they take?

Spec istioctl-analyze appendix A and B; security 1.6. An annotation of a pod with a refused value keeps
the pod from being created, since the injector answers with an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_network

from meshlint.mesh.labels import TRAFFIC
from meshlint.source.parse import parse

_SIDECAR = "sidecar.istio.io/"
_READINESS = "readiness.status.sidecar.istio.io/"

#: annotations that mean something on pods only
POD_ANNOTATIONS = frozenset(
    {
        "ambient.istio.io/bypass-inbound-capture",
        "ambient.istio.io/dns-capture",
        "ambient.istio.io/redirection",
        "inject.istio.io/templates",
        "istio.io/reroute-virtual-interfaces",
        "prometheus.istio.io/merge-metrics",
        "proxy.istio.io/config",
        "proxy.istio.io/overrides",
        "status.sidecar.istio.io/port",
        *(
            _READINESS + name
            for name in (
                "applicationPorts", "failureThreshold", "initialDelaySeconds", "periodSeconds",
            )
        ),
        *(
            _SIDECAR + name
            for name in (
                "agentLogLevel", "bootstrapOverride", "componentLogLevel", "discoveryAddress",
                "extraStatTags", "inject", "interceptionMode", "logLevel", "nativeSidecar", "proxyCPU",
                "proxyCPULimit", "proxyImage", "proxyImageType", "proxyMemory", "proxyMemoryLimit",
                "rewriteAppHTTPProbers", "statsCompression", "statsEvictionInterval",
                "statsFlushInterval", "statsHistogramBins", "statsHistogramBuckets",
                "statsInclusionPrefixes", "statsInclusionRegexps", "statsInclusionSuffixes",
                "userVolume", "userVolumeMount",
            )
        ),
        *(
            TRAFFIC + name
            for name in (
                "excludeInboundPorts", "excludeInterfaces", "excludeOutboundIPRanges",
                "excludeOutboundPorts", "includeInboundPorts", "includeOutboundIPRanges",
                "includeOutboundPorts", "kubevirtInterfaces",
            )
        ),
    }
)  # fmt: skip

#: annotations of other objects -> the kinds that they mean something on
HOMES: dict[str, tuple[str, ...]] = {
    "istio.io/dry-run": ("AuthorizationPolicy",),
    "gateway.istio.io/name-override": ("Gateway",),
    "gateway.istio.io/service-account": ("Gateway",),
    "networking.istio.io/service-type": ("Gateway",),
    "ambient.istio.io/waypoint-inbound-binding": ("GatewayClass", "Gateway"),
    "kubernetes.io/ingress.class": ("Ingress",),
    "topology.istio.io/controlPlaneClusters": ("Namespace",),
    "networking.istio.io/traffic-distribution": ("Namespace", "Service", "ServiceEntry"),
    "networking.istio.io/exportTo": ("Service",),
    "alpha.istio.io/canonical-serviceaccounts": ("Service",),
    "alpha.istio.io/kubernetes-serviceaccounts": ("Service",),
    "traffic.istio.io/nodeSelector": ("Service",),
    "istio.io/use-waypoint-canary-weight": ("Service", "ServiceEntry", "Namespace"),
    "istio.io/autoRegistrationGroup": ("WorkloadEntry",),
    "istio.io/connectedAt": ("WorkloadEntry",),
    "istio.io/disconnectedAt": ("WorkloadEntry",),
    "istio.io/workloadController": ("WorkloadEntry",),
}

#: annotations that Istio or its tools write, or that may sit on anything
ANYWHERE = frozenset(
    {
        "galley.istio.io/analyze-suppress",
        "gateway.istio.io/controller-version",
        "istio.io/rev",
        "sidecar.istio.io/status",
    }
)

#: prefixes of annotations that installers write on what they install
INSTALLERS = ("install.operator.istio.io/", "operator.istio.io/", "internal.istio.io/")

#: labels that are taken for annotations
LABELS = frozenset(
    {
        "istio.io/dataplane-mode",
        "istio.io/use-waypoint",
        "istio.io/use-waypoint-namespace",
        "istio.io/ingress-use-waypoint",
        "istio.io/waypoint-for",
        "istio.io/global",
        "istio.io/tag",
        "istio.io/gateway-name",
        "networking.istio.io/enable-autoallocate-ip",
        "networking.istio.io/gatewayPort",
        "networking.istio.io/tunnel",
        "security.istio.io/tlsMode",
        "service.istio.io/canonical-name",
        "service.istio.io/canonical-revision",
        "service.istio.io/workload-name",
        "topology.istio.io/cluster",
        "topology.istio.io/network",
        "topology.istio.io/subzone",
    }
)

#: deprecated annotations of Services -> what to use
DEPRECATED_ON_SERVICES = {
    "alpha.istio.io/canonical-serviceaccounts": "subjectAltNames in a DestinationRule, or nothing: "
    "certificates carry the service account of the pod",
    "alpha.istio.io/kubernetes-serviceaccounts": "subjectAltNames in a DestinationRule, or nothing: "
    "certificates carry the service account of the pod",
}

#: deprecated annotations of pods -> what to use
DEPRECATED = {
    "sidecar.istio.io/inject": "the pod label of the same name",
    "sidecar.istio.io/discoveryAddress": "discoveryAddress in proxy.istio.io/config",
    "sidecar.istio.io/extraStatTags": "extraStatTags in proxy.istio.io/config or a Telemetry",
    "sidecar.istio.io/statsCompression": "the statsCompression setting of the proxy",
    "sidecar.istio.io/statsInclusionPrefixes": "proxyStatsMatcher in proxy.istio.io/config",
    "sidecar.istio.io/statsInclusionRegexps": "proxyStatsMatcher in proxy.istio.io/config",
    "sidecar.istio.io/statsInclusionSuffixes": "proxyStatsMatcher in proxy.istio.io/config",
    "traffic.sidecar.istio.io/kubevirtInterfaces": "istio.io/reroute-virtual-interfaces",
}

#: annotations of beta or stable status; all others that Istio knows are alpha
SETTLED = frozenset(
    {
        "ambient.istio.io/redirection",
        "kubernetes.io/ingress.class",
        "proxy.istio.io/config",
        "sidecar.istio.io/inject",
        "traffic.istio.io/nodeSelector",
    }
)
#: annotations that Istio itself writes on objects
WRITTEN_BY_ISTIO = frozenset(
    {
        "gateway.istio.io/controller-version",
        "istio.io/autoRegistrationGroup",
        "istio.io/connectedAt",
        "istio.io/disconnectedAt",
        "istio.io/rev",
        "istio.io/workloadController",
        "sidecar.istio.io/status",
    }
)
#: annotations that the injector adds to pods which it gives no init container
ADDED_WITHOUT_INIT = frozenset(
    {
        _SIDECAR + "interceptionMode",
        TRAFFIC + "excludeInboundPorts",
        TRAFFIC + "includeInboundPorts",
        TRAFFIC + "includeOutboundIPRanges",
    }
)


def is_istios(key: str) -> bool:
    """Does an annotation belong to Istio? (IST0108)"""
    domain = key.partition("/")[0]
    return domain == "istio.io" or domain.endswith(".istio.io")


def is_known(key: str) -> bool:
    return key in POD_ANNOTATIONS or key in HOMES or key in ANYWHERE or key.startswith(INSTALLERS)


_GO_BOOLEANS = frozenset(
    ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False")
)  # fmt: skip
_QUANTITY = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$")


@lru_cache(maxsize=4096)
def refusal(key: str, value: str) -> str | None:
    """What the injector would have accepted for the annotation, if it refuses the value."""
    check = _VALIDATORS.get(key)
    return check(value) if check is not None else None


def _one_of(*accepted: str) -> Callable[[str], str | None]:
    return lambda value: None if value in accepted else f"one of {', '.join(accepted)}"


def _unsigned(bits: int) -> Callable[[str], str | None]:
    limit = 2**bits

    def check(value: str) -> str | None:
        fits = value.isascii() and value.isdigit() and int(value) < limit
        return None if fits else f"a number from 0 to {limit - 1}"

    return check


def _cidrs(star: bool) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if value == "" or (star and value == "*"):
            return None
        if all(_is_cidr(part) for part in value.split(",")):
            return None
        return "a comma list of CIDR ranges without blanks, such as 10.0.0.0/8"

    return check


def _is_cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    if not slash or not bits.isdigit() or text != text.strip():
        return False
    try:
        ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return False
    return True


def _ports(star: bool) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if value.strip() == "" or (star and value == "*"):
            return None
        fits = all(_is_port(part.strip()) for part in value.split(","))
        return None if fits else "a comma list of ports from 0 to 65535"

    return check


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 65536


def _interfaces(value: str) -> str | None:
    fits = value == "" or all(0 < len(part.strip()) <= 15 for part in value.split(","))
    return None if fits else "a comma list of interface names of at most 15 characters"


def _boolean(value: str) -> str | None:
    return None if value in _GO_BOOLEANS else "true or false"


def _quantity(value: str) -> str | None:
    return None if _QUANTITY.match(value) else "a quantity such as 100m or 128Mi"


def _proxy_config(value: str) -> str | None:
    return "YAML of a ProxyConfig" if parse("proxy.istio.io/config", value).problems else None


_VALIDATORS: dict[str, Callable[[str], str | None]] = {
    _SIDECAR + "interceptionMode": _one_of("REDIRECT", "TPROXY", "NONE"),
    "status.sidecar.istio.io/port": _unsigned(16),
    _READINESS + "initialDelaySeconds": _unsigned(32),
    _READINESS + "periodSeconds": _unsigned(32),
    _READINESS + "failureThreshold": _unsigned(32),
    TRAFFIC + "includeOutboundIPRanges": _cidrs(star=True),
    TRAFFIC + "excludeOutboundIPRanges": _cidrs(star=False),
    TRAFFIC + "includeInboundPorts": _ports(star=True),
    TRAFFIC + "excludeInboundPorts": _ports(star=False),
    TRAFFIC + "excludeOutboundPorts": _ports(star=False),
    TRAFFIC + "excludeInterfaces": _interfaces,
    TRAFFIC + "kubevirtInterfaces": _interfaces,
    "istio.io/reroute-virtual-interfaces": _interfaces,
    "prometheus.istio.io/merge-metrics": _boolean,
    "proxy.istio.io/config": _proxy_config,
    _SIDECAR + "proxyCPU": _quantity,
    _SIDECAR + "proxyMemory": _quantity,
    _SIDECAR + "proxyCPULimit": _quantity,
    _SIDECAR + "proxyMemoryLimit": _quantity,
}

#: annotations whose values the injector checks
VALIDATED = frozenset(_VALIDATORS)
