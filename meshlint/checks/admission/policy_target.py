"""Do policies name targets that Istio takes? (spec schemas 3.3, security 6.3)

The same for every kind that has target references. That these exclude a selector, and that they name no
namespace, is in the schemas of the CRDs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import (
    GATEWAY_API,
    ISTIO_EXTENSIONS,
    ISTIO_NETWORKING,
    ISTIO_SECURITY,
    ISTIO_TELEMETRY,
)

Options = Mapping[str, Any]

_TARGETING: Final = (
    (ISTIO_SECURITY, ("AuthorizationPolicy", "RequestAuthentication")),
    (ISTIO_TELEMETRY, ("Telemetry",)),
    (ISTIO_EXTENSIONS, ("WasmPlugin", "TrafficExtension")),
)
#: kind of a target -> its group
_TARGETS: Final = {
    "Service": "",
    "ServiceEntry": ISTIO_NETWORKING,
    "Gateway": GATEWAY_API,
    "GatewayClass": GATEWAY_API,
}
_PODS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"})
_ROUTES: Final = frozenset({"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "VirtualService"})


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for group, kinds in _TARGETING:
        for resource in mesh.scope.of(group, *kinds):
            block = spec(resource)
            for target in _targets(block) if block is not None else ():
                yield from _target(target)


def _targets(block: Block) -> list[Block]:
    one = block.block("targetRef")
    return [*block.blocks("targetRefs"), *([one] if one is not None else [])]


def _target(target: Block) -> Iterator[Draft]:
    kind, group = target.text("kind"), target.text("group") or ""
    if not kind or ("group" in target.node.index and target.text("group") is None):
        return
    known = _TARGETS.get(kind)
    if known == group or (known == "" and group == "core"):
        return
    if known is None:
        yield refused(
            target.place("kind"),
            f"has a {kind} as its target, which no policy can have",
            "no kind that policies attach to",
            _advice(kind),
        )
        return
    yield refused(
        target.place("group"),
        f"has a {kind} of {f'the group {group}' if group else 'no group'} as its target",
        f"a {kind} that policies attach to has {f'the group {known}' if known else 'no group'}",
        "an Istio Gateway is no target: select its pods by their labels, or set group to " + known
        if kind == "Gateway" and group == ISTIO_NETWORKING
        else (f"set group to {known}" if known else "leave group out"),
    )


def _advice(kind: str) -> str:
    if kind in _PODS:
        return "use spec.selector with the labels of the pods"
    if kind in _ROUTES:
        return "attach to the Gateway or to the Service that the route leads to"
    return "attach to a Service, a ServiceEntry, or a Gateway or GatewayClass of the Gateway API"
