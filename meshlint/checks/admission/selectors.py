"""What does Istio's validation say about the labels that select workloads? (spec schemas 3.3)

Stars in the values, and everything about `matchLabels`, are in the schemas of the CRDs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_EXTENSIONS, ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: group, kind, the key of the selector, the key of its labels
_SELECTORS: Final = (
    (ISTIO_NETWORKING, "DestinationRule", "workloadSelector", "matchLabels"),
    (ISTIO_NETWORKING, "EnvoyFilter", "workloadSelector", "labels"),
    (ISTIO_NETWORKING, "ProxyConfig", "selector", "matchLabels"),
    (ISTIO_NETWORKING, "ServiceEntry", "workloadSelector", "labels"),
    (ISTIO_NETWORKING, "Sidecar", "workloadSelector", "labels"),
    (ISTIO_SECURITY, "AuthorizationPolicy", "selector", "matchLabels"),
    (ISTIO_SECURITY, "PeerAuthentication", "selector", "matchLabels"),
    (ISTIO_SECURITY, "RequestAuthentication", "selector", "matchLabels"),
    (ISTIO_TELEMETRY, "Telemetry", "selector", "matchLabels"),
    (ISTIO_EXTENSIONS, "TrafficExtension", "selector", "matchLabels"),
    (ISTIO_EXTENSIONS, "WasmPlugin", "selector", "matchLabels"),
)


def empty(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for group, kind, name, labels in _SELECTORS:
        for resource in mesh.scope.of(group, kind):
            parent = spec(resource)
            block = parent.block(name) if parent else None
            written = block.node.get(labels) if block else None
            if not parent or not block or not (written is None or _is_empty(written)):
                continue
            yield Draft(
                parent.place(name, "key"),
                f"{resource.title} has a {name} without labels, so it chooses nothing and is for every "
                "workload in reach",
                label="selects everything",
                help=f"name labels of the workloads in {name}.{labels}, or leave {name} out",
            )


def _is_empty(written: object) -> bool:
    return isinstance(written, YamlMapping) and not written.items


def label_keys(parent: Block, name: str, labels: str) -> Iterator[Draft]:
    """Keys that no label has: empty, or with a star."""
    block = parent.block(name)
    written = block.node.get(labels) if block else None
    for key, _ in written.items if isinstance(written, YamlMapping) else ():
        if not isinstance(key, Scalar) or is_placeholder(key.text):
            continue
        if not key.text or "*" in key.text:
            yield refused(
                parent.resource.place(key),
                f"selects workloads by the label key {key.text!r}",
                "no label key",
                "selectors compare whole keys and values; name each label in full",
            )
