"""What in an IstioOperator does istioctl refuse or warn about? (spec schemas 3.3 istioctl 9 and 10)

The mesh configuration in it is checked like any other; fragments of pods and Services are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec, warned
from meshlint.checks.admission.grammar import label_problem, subnet_problem
from meshlint.findings import Draft
from meshlint.mesh.installations import INSTALL
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Scalar, int_of

Options = Mapping[str, Any]

_TAG: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
_REPOSITORY: Final = re.compile(r"[a-z0-9_./-]{1,248}\Z")
_REGISTRY: Final = re.compile(r"[A-Za-z0-9.:\[\]-]+\Z")
_NAME: Final = re.compile(r"[a-z0-9.-]{1,254}\Z")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
_RANGES: Final = ("includeIPRanges", "excludeIPRanges")
_PORTS: Final = ("includeInboundPorts", "excludeInboundPorts")
_GATEWAYS: Final = (("ingressGateways", "istio-ingressgateway"), ("egressGateways", "istio-egressgateway"))


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(INSTALL, "IstioOperator"):
        block = spec(resource)
        if block is not None:
            yield from _identity(block)
            values = block.block("values")
            yield from _proxy(values)
            components = block.block("components")
            if components is not None:
                yield from _pilot(components, values)
                for key, chart in _GATEWAYS:
                    own = _dig(values, "gateways", chart)
                    for gateway in components.blocks(key):
                        yield from _gateway(gateway, chart, own)


def _identity(block: Block) -> Iterator[Draft]:
    for name, problem_of, advice in (
        ("revision", label_problem, "write a name such as 1-27-1 or canary, without dots"),
        ("hub", hub_problem, "write a registry and a path, such as docker.io/istio; the tag stands in tag"),
        ("tag", _tag_problem, "write a tag such as 1.27.1"),
    ):
        text = block.text(name)
        problem = problem_of(text) if text else ""
        if problem:
            yield refused(
                block.place(name),
                f"has the {name} {text}, which {problem}",
                problem,
                advice,
            )


def hub_problem(text: str) -> str:
    """Why a text is no registry with a path; '' if it is one."""
    first, slash, rest = text.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    path = rest if has_registry else text
    if "://" in text:
        return "has a scheme, which image names have not"
    if has_registry and not _REGISTRY.match(first):
        return "has a registry that is no host"
    if ":" in path:
        return "has a colon in its path, as if it held a tag"
    return "" if _REPOSITORY.match(path) else "is no path of an image"


def _tag_problem(text: str) -> str:
    return "" if _TAG.match(text) else "is no tag of an image"


def _proxy(values: Block | None) -> Iterator[Draft]:
    proxy = _dig(values, "global", "proxy")
    if proxy is None:
        return
    for name in _RANGES:
        yield from _list(proxy, name, _range_problem, "write CIDRs with commas between, or * for all")
    for name in _PORTS:
        yield from _list(proxy, name, _port_problem, "write ports with commas between, or * for all")


def _list(proxy: Block, name: str, problem_of: Any, advice: str) -> Iterator[Draft]:
    text = proxy.text(name)
    node = proxy.node.get(name)
    if not text or text == "*" or not isinstance(node, Scalar) or node.string is None:
        return
    wrong = [(part, problem) for part in text.split(",") if (problem := problem_of(part))]
    if wrong:
        part, problem = wrong[0]
        yield refused(
            proxy.place(name),
            f"has {part!r} in {name}, which {problem}",
            problem,
            advice,
        )


def _range_problem(text: str) -> str:
    return "is no CIDR" if "/" not in text else subnet_problem(text)


def _port_problem(text: str) -> str:
    if text in ("", "*"):
        return ""
    return "" if _INTEGER.match(text) and 0 <= int(text) <= 65535 else "is no port from 0 to 65535"


def _pilot(components: Block, values: Block | None) -> Iterator[Draft]:
    settings = _dig(components, "pilot", "k8s")
    own = _dig(values, "pilot")
    if settings is None or own is None or not own.true("autoscaleEnabled"):
        return
    if (settings.number("replicaCount") or 0) > 1:
        yield _fixed_replicas(settings, "values.pilot")


def _fixed_replicas(settings: Block, where: str) -> Draft:
    return warned(
        settings.place("replicaCount", "key"),
        f"sets replicaCount while {where}.autoscaleEnabled is true: the autoscaler decides",
        "beside an autoscaler",
        "leave replicaCount out, or turn the autoscaler off",
    )


def _gateway(gateway: Block, chart: str, own: Block | None) -> Iterator[Draft]:
    name = gateway.text("name")
    if name and not _NAME.match(name):
        yield refused(
            gateway.place("name"),
            f"has a gateway of the name {name}",
            "no name of an object",
            "use lower-case letters, digits, dots and hyphens",
        )
    settings = gateway.block("k8s")
    if settings is None:
        return
    if own is not None and own.true("autoscaleEnabled") and settings.number("replicaCount"):
        yield _fixed_replicas(settings, f"values.gateways.{chart}")
    if own is None or not own.true("runAsRoot"):
        service = settings.block("service")
        for port in service.blocks("ports") if service is not None else ():
            yield from _low_port(port, chart)


def _low_port(port: Block, chart: str) -> Iterator[Draft]:
    written = port.node.get("targetPort")
    target = int_of(written) or 0
    number = port.number("port") or 0
    named = written is not None and int_of(written) is None
    if named or target >= 1024 or (target == 0 and number > 1024):
        return
    yield refused(
        port.place("targetPort" if written is not None else "port"),
        f"has a gateway port {number} with the targetPort {target or number}, which only root may open",
        "below 1024",
        f"set targetPort to a port above 1024, or values.gateways.{chart}.runAsRoot to true",
    )


def _dig(block: Block | None, *path: str) -> Block | None:
    for step in path:
        block = block.block(step) if block is not None else None
    return block
