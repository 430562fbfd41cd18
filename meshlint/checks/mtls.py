"""Checks of the family mtls (catalogue: spec traffic 8.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_SECURITY


def port_level_needs_selector(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for policy in mesh.scope.of(ISTIO_SECURITY, "PeerAuthentication"):
        ports = policy.get("spec", "portLevelMtls")
        if ports is not None and not policy.mapping("spec", "selector", "matchLabels"):
            yield Draft(
                policy.place_at("spec", "portLevelMtls", part="key"),
                f"{policy.title} sets portLevelMtls without a selector, which Istio refuses",
                label="needs a selector with labels",
                help="select the workload with spec.selector.matchLabels, or drop portLevelMtls",
            )
