"""Which annotations does Istio's webhook refuse, whatever else an object says? (spec schemas 3.3)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import judged, once, refused
from meshlint.findings import Draft
from meshlint.mesh.labels import DRY_RUN
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING, ISTIO_SECURITY, ISTIO_TELEMETRY
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar

Options = Mapping[str, Any]

_KINDS: Final = {
    ISTIO_NETWORKING: (
        "DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "ServiceEntry", "Sidecar",
        "VirtualService", "WorkloadEntry", "WorkloadGroup",
    ),
    ISTIO_SECURITY: ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"),
    ISTIO_TELEMETRY: ("Telemetry",),
    "extensions.istio.io": ("TrafficExtension", "WasmPlugin"),
}  # fmt: skip
_BOOLEANS: Final = frozenset(
    ("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False")
)
_RESERVED: Final = {
    "internal.istio.io/webhook-always-reject": "makes the webhook refuse an object",
    "internal.istio.io/parent-namespace": "is Istio's own mark on objects that it derives",
    "internal.istio.io/parents": "is Istio's own mark on objects that it derives",
}


@once
def _annotated(mesh: Mesh) -> list[tuple[Resource, dict[str, tuple[Scalar, Node]]]]:
    found = []
    for group, kinds in _KINDS.items():
        for kind in kinds:
            for resource in mesh.scope.of(group, kind):
                annotations = resource.metadata.get("annotations") if resource.metadata else None
                if isinstance(annotations, YamlMapping):
                    found.append((resource, annotations.index))
    return found


def dry_run(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, written in _annotated(mesh):
        if DRY_RUN not in written:
            continue
        key, value = written[DRY_RUN]
        if resource.kind != "AuthorizationPolicy":
            yield refused(
                resource.place(key),
                f"has the annotation {DRY_RUN}, which is for AuthorizationPolicies",
                "no dry run of this kind",
                "remove the annotation",
            )
            continue
        yield from _dry_run_of_policy(resource, key, value)


def _dry_run_of_policy(resource: Resource, key: Scalar, value: Node) -> Iterator[Draft]:
    action = resource.text("spec", "action") or "ALLOW"
    text = judged(value)
    if action in ("AUDIT", "CUSTOM"):
        yield refused(
            resource.place(key),
            f"has the annotation {DRY_RUN} and the action {action}",
            f"no dry run of {action}",
            "a dry run is for ALLOW and DENY; remove the annotation",
        )
    elif action in ("ALLOW", "DENY") and text is not None and text not in _BOOLEANS:
        yield refused(
            resource.place(value),
            f"sets the annotation {DRY_RUN} to {text!r}",
            "no boolean",
            'write "true" or "false"',
        )


def reserved(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource, written in _annotated(mesh):
        for name in written.keys() & _RESERVED.keys():
            yield refused(
                resource.place(written[name][0]),
                f"has the annotation {name}, which {_RESERVED[name]}",
                "reserved",
                "remove the annotation",
            )
