"""Which namespaces and service accounts are there, and can a principal match anybody? (security 5.4, 5.6)

A principal is compared as text: `*` counts at one end only, and a literal of another form than
``<trust domain>/ns/<namespace>/sa/<service account>`` matches nobody.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.scope import GATEWAY_API, Evidence
from meshlint.mesh.strings import glob
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

#: namespaces that every cluster or a usual installation has
_ALWAYS: Final = frozenset(
    {
        "default", "kube-system", "kube-public", "kube-node-lease", "istio-system", "istio-ingress",
        "istio-egress", "istio-gateways", "kyma-system", "knative-serving", "monitoring", "cert-manager",
    }
)  # fmt: skip


class Identities:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._patterns: dict[str, bool] = {}

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Every namespace that the input shows in any way, and those that are always there."""
        scope = self.mesh.scope
        defined = {r.name for r in scope.of("", "Namespace")}
        inhabited = {r.ns for r in scope.resources if r.ns}
        return frozenset(defined | inhabited | _ALWAYS | {self.mesh.config.root})

    def namespace_missing(self, pattern: str) -> str | None:
        """'high', 'low', or None where a namespace of that name (or pattern) exists or may exist."""
        if not pattern or is_placeholder(pattern) or pattern in self.namespaces:
            return None
        if "*" in pattern and self._matched(pattern):
            return None
        scope = self.mesh.scope
        if scope.may_exist("Namespace", pattern):
            return None
        if scope.settings.complete:
            return "high"
        return "low" if scope.of("", "Namespace") and not scope.settings.remainder else None

    def account_missing(self, namespace: str, name: str) -> str | None:
        """'high', 'low', or None where the service account exists or may exist."""
        if name == "default" or "*" in name or is_placeholder(name) or is_placeholder(namespace):
            return None
        if (
            namespace in _ALWAYS
            or namespace == self.mesh.config.root
            or name in self._accounts.get(namespace, ())
        ):
            return None
        scope = self.mesh.scope
        if scope.may_exist("ServiceAccount", name, namespace) or "gateway" in name:
            return None
        evidence = max(
            scope.evidence("", "ServiceAccount", namespace),
            Evidence.LIKELY if self._deployed(namespace) else Evidence.OPEN,
        )
        if evidence is Evidence.OPEN or self.mesh.existence.installed_into(namespace):
            return None
        return "high" if evidence is Evidence.CLOSED else "low"

    def trust_domain_foreign(self, domain: str) -> str | None:
        """'high', 'low', or None where a trust domain is one of the mesh or may be."""
        if not domain or "*" in domain or domain == "cluster.local" or is_placeholder(domain):
            return None
        own, aliases = self.mesh.config.trust_domain, self.mesh.config.trust_domain_aliases
        if not own.known or not aliases.known or domain == own.value or domain in aliases.value:
            return None
        return "high" if own.certain and aliases.certain else "low"

    def _matched(self, pattern: str) -> bool:
        known = self._patterns.get(pattern)
        if known is None:
            known = self._patterns[pattern] = any(glob(pattern, name) for name in self.namespaces)
        return known

    def _deployed(self, namespace: str) -> bool:
        return not self.mesh.settings.remainder and bool(self.mesh.workloads.within(namespace))

    @cached_property
    def _accounts(self) -> dict[str, set[str]]:
        """Service accounts per namespace: declared, used by pods, or made for a Gateway."""
        found: dict[str, set[str]] = defaultdict(set)
        for resource in self.mesh.scope.of("", "ServiceAccount"):
            found[resource.ns].add(resource.name)
        for workload in self.mesh.workloads.all:
            found[workload.namespace].add(workload.service_account)
        for gateway in self.mesh.scope.of(GATEWAY_API, "Gateway"):
            class_name = gateway.text("spec", "gatewayClassName") or ""
            found[gateway.ns] |= {gateway.name, f"{gateway.name}-{class_name}"}
        return found


def never_a_principal(value: str) -> str:
    """Why a principal matches no caller; '' if it may match one."""
    if value.startswith("spiffe://"):
        return "begins with spiffe://, which principals are compared without"
    if not value or value == "*" or is_placeholder(value):
        return ""
    inner = value[1:] if value[0] == "*" else value[:-1] if value[-1] == "*" else value
    if "*" in inner:
        return "has a star that is at neither end, where it stands for itself"
    if "*" in value:
        return ""
    parts = value.split("/")
    if len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa" or not all(parts):
        return "is no identity of the form <trust domain>/ns/<namespace>/sa/<service account>"
    return ""
