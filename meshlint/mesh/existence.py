"""Does a host exist, and how sure may one be that it does not? (spec traffic 1.1 to 1.5, repositories 3 to 9)

A missing Service is a fact only where the input is complete; where other Services of its namespace are
in the input it is a suspicion, else it is unknown. What every cluster has is never missing, nor what a
templated file or an operator's object may define.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.beside import HOST
from meshlint.mesh.hosts import is_ip, is_wild
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING, Evidence
from meshlint.records import dataclass
from meshlint.source.nodes import text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service


class Presence(Enum):
    FOUND = "found"
    #: the name of a Service of the input, written in a form that is not looked up
    UNQUALIFIED = "unqualified"
    #: only a wildcard of a ServiceEntry covers it, which makes no cluster for the name itself
    WILDCARD = "wildcard"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class HostState:
    """`full` is the host after resolution, `meant` the full name that an unqualified one stands for.

    `services` are those found, those meant, or the wildcards that cover it. `confidence` is that of a
    finding about it, None for that of the rule.
    """

    presence: Presence
    full: str
    services: tuple[Service, ...] = ()
    meant: str = ""
    confidence: str | None = None

    @property
    def found(self) -> bool:
        return self.presence is Presence.FOUND


#: groups of objects that make no Services by themselves
_INERT_GROUPS: Final = frozenset(
    {
        "", "apps", "batch", "autoscaling", "policy", "extensions", "networking.k8s.io", "storage.k8s.io",
        "rbac.authorization.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io",
        "networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io",
        "gateway.kyma-project.io", "cert-manager.io", "monitoring.coreos.com", "external-secrets.io",
        "bitnami.com", "keda.sh", "kyverno.io",
    }
)  # fmt: skip
#: namespaces that installations fill
_CLUSTER: Final = frozenset({"kube-system", "kube-public", "kyma-system"})
_ISTIO: Final = frozenset({"istio-system", "istio-ingress", "istio-egress"})
#: what the names of Services begin with that Istio, its gateways and its addons bring along
_ISTIO_NAMES: Final = (
    "istio", "ztunnel", "ingress", "egress", "eastwest", "gateway", "kiali", "prometheus", "grafana",
    "jaeger", "zipkin", "tracing", "loki", "skywalking", "opentelemetry",
)  # fmt: skip
_INSTALLERS: Final = frozenset({"HelmRelease", "HelmChart", "Application", "Kustomization", "App"})


class Existence:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._states: dict[str, HostState] = {}

    def of(self, host: str, namespace: str) -> HostState:
        """The state of a host that an object of the namespace writes; no placeholder."""
        full = self.mesh.registry.resolve(host, namespace)
        known = self._states.get(full)
        if known is None:
            known = self._states[full] = self._state(full)
        return known

    def service_missing(self, namespace: str, name: str) -> str | None:
        """How sure is it that a Service does not exist? 'high', 'low', or None: that is unknown."""
        scope = self.mesh.scope
        if self._platform(namespace, name) or scope.may_exist("Service", name, namespace):
            return None
        evidence = scope.evidence("", "Service", namespace)
        if evidence is Evidence.OPEN or self._may_be_made(namespace, name):
            return None
        return "high" if evidence is Evidence.CLOSED else "low"

    def installed_into(self, namespace: str) -> bool:
        """Does an object of the input install into the namespace what is not in the input?"""
        return namespace in self._installed

    def _state(self, full: str) -> HostState:
        registry = self.mesh.registry
        found = tuple(registry.within(full)) if is_wild(full) else tuple(registry.by_host(full))
        if found or full in ("*", ""):
            return HostState(Presence.FOUND, full, found)
        if is_ip(full) or is_placeholder(full) or self.mesh.scope.beside.holds(HOST, full):
            return HostState(Presence.UNKNOWN, full)
        if is_wild(full):
            return self._wild(full)
        if meant := self._meant(full):
            return meant
        wildcards = tuple(s for s in registry.covering(full) if s.host != "*")  # Istio refuses a bare star
        if wildcards:
            confidence = None if self.mesh.settings.complete else "medium"
            return HostState(Presence.WILDCARD, full, wildcards, confidence=confidence)
        name, namespace = self._in_cluster(full)
        if namespace:
            sure = self.service_missing(namespace, name) if "." not in name else None
        else:
            sure = self._external_missing()
        return _missing(full, sure)

    def _in_cluster(self, full: str) -> tuple[str, str]:
        """Name and namespace of a Service of the cluster; empty for other hosts."""
        suffix = f".svc.{self.mesh.registry.domain}"
        if not full.endswith(suffix):
            return "", ""
        name, _, namespace = full[: -len(suffix)].rpartition(".")
        return name, namespace

    def _meant(self, full: str) -> HostState | None:
        """`svc.ns`, `svc.ns.svc`, a trailing dot or capitals, where there is such a Service."""
        registry = self.mesh.registry
        plain = full.lower().rstrip(".")
        parts = plain.split(".")
        if len(parts) < 2:
            return None
        candidate = f"{parts[0]}.{parts[1]}.svc.{registry.domain}"
        if candidate != plain and not candidate.startswith(f"{plain}."):
            return None
        services = tuple(registry.by_host(candidate))
        if services and candidate != full:
            return HostState(Presence.UNQUALIFIED, full, services, candidate)
        short = len(parts) > 2 and candidate != plain
        if short and self.mesh.scope.inhabited(parts[1]) and not registry.covering(full):
            return HostState(Presence.UNQUALIFIED, full, (), candidate, "medium")
        return None

    def _wild(self, full: str) -> HostState:
        """A wildcard of a DestinationRule that no host of the input is in."""
        suffix = f".svc.{self.mesh.registry.domain}"
        if suffix.endswith(full[1:]) or self.mesh.registry.covering(full):
            return HostState(Presence.FOUND, full)
        if full.startswith("*.") and full.endswith(suffix):
            namespace = full[2 : -len(suffix)]
            return _missing(full, self.service_missing(namespace, ""))
        return _missing(full, self._external_missing())

    def _external_missing(self) -> str | None:
        scope = self.mesh.scope
        if scope.beside.any_of("ServiceEntry"):
            return None
        if scope.settings.complete:
            return "high"
        return "low" if scope.of(ISTIO_NETWORKING, "ServiceEntry") and not scope.settings.remainder else None

    def _platform(self, namespace: str, name: str) -> bool:
        """Does every cluster have it? Of Istio's own namespaces a complete input leaves out Istio alone."""
        if namespace in _CLUSTER or (namespace, name) == ("default", "kubernetes"):
            return True
        if namespace not in _ISTIO and namespace != self.mesh.config.root:
            return False
        closed = self.mesh.scope.evidence("", "Service", namespace) is Evidence.CLOSED
        return not closed or not name or name.startswith(_ISTIO_NAMES)

    def _may_be_made(self, namespace: str, name: str) -> bool:
        """Is there an object whose controller may make the Service, named like it or with more behind?"""
        if namespace in self._installed:
            return True
        makers = self._makers.get(namespace)
        if not makers:
            return False
        if name in makers:
            return True
        at = name.find("-")
        while at >= 0:
            if name[:at] in makers:
                return True
            at = name.find("-", at + 1)
        return False

    @cached_property
    def _makers(self) -> dict[str, set[str]]:
        """Per namespace, the names of objects of operators and of Gateways."""
        makers: dict[str, set[str]] = defaultdict(set)
        for resource in self.mesh.scope.resources:
            group = resource.group
            if group in _INERT_GROUPS or not resource.ns:
                continue
            if group != GATEWAY_API or resource.kind == "Gateway":
                makers[resource.ns].add(resource.name)
        return makers

    @cached_property
    def _installed(self) -> set[str]:
        """Namespaces into which an object of the input installs what is not in the input."""
        found = set()
        for resource in self.mesh.scope.resources:
            if resource.kind in _INSTALLERS and resource.group not in _INERT_GROUPS:
                spec = resource.mapping("spec")
                target = spec and (
                    text_of(spec.get("targetNamespace")) or text_of(spec.dig("destination", "namespace"))
                )
                found.add(target or resource.ns)
        return found


def _missing(full: str, sure: str | None) -> HostState:
    if sure is None:
        return HostState(Presence.UNKNOWN, full)
    return HostState(Presence.MISSING, full, confidence=None if sure == "high" else sure)
