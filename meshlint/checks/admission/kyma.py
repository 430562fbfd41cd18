"""Which RateLimits and Istio resources does Kyma refuse? (spec schemas 4.2, ecosystem f.3 and f.4)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.api_rule import failed
from meshlint.checks.admission.blocks import Block, once, spec
from meshlint.checks.admission.gateway_api import denied, inert
from meshlint.checks.admission.re2 import why_not_re2
from meshlint.findings import Draft
from meshlint.mesh.installations import KYMA_OPERATOR
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import KYMA_GATEWAY
from meshlint.mesh.workloads import matches
from meshlint.resources import Resource
from meshlint.source.durations import MILLISECOND, go_duration
from meshlint.source.nodes import string_map

Options = Mapping[str, Any]

SYSTEM: Final = "kyma-system"
_SHORTEST: Final = 50 * MILLISECOND
_ROLLED: Final = ("pilot", "ingressGateway", "egressGateway")


@once
def _limits(mesh: Mesh) -> list[Block]:
    return [block for block in map(spec, mesh.scope.of(KYMA_GATEWAY, "RateLimit")) if block]


def buckets(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _limits(mesh):
        local = block.block("local")
        if local is None:
            continue
        entries = local.blocks("buckets")
        for entry in entries:
            if "path" not in entry.node.index and "headers" not in entry.node.index:
                yield denied(
                    entry.place("bucket", "key"),
                    "has a bucket for neither a path nor headers",
                    "path and headers are missing",
                    "add path or headers; for all other requests there is defaultBucket",
                )
        found = [local.block("defaultBucket"), *(entry.block("bucket") for entry in entries)]
        for bucket in filter(None, found):
            yield from _bucket(bucket)


def _bucket(bucket: Block) -> Iterator[Draft]:
    text = bucket.text("fillInterval")
    interval = go_duration(text) if text else None
    if interval is not None and interval < _SHORTEST:
        yield failed(
            bucket.place("fillInterval"),
            f"fills a bucket every {text}, and the shortest interval is 50ms",
            "less than 50ms",
            "write 50ms or more, with more tokens for each fill",
        )
    for name in ("maxTokens", "tokensPerFill"):
        number = bucket.number(name)
        if number is not None and number < 1:
            yield inert(
                bucket.place(name),
                f"has {name}: {number}; the proxy refuses a bucket with less than 1",
                "less than 1",
                "write 1 or more",
            )


def overlap(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Two limits for one pod: Kyma refuses the one that comes later."""
    by_namespace: dict[str, list[Resource]] = defaultdict(list)
    for block in _limits(mesh):
        by_namespace[block.resource.ns].append(block.resource)
    for namespace, limits in by_namespace.items():
        if len({limit.name for limit in limits}) < 2:
            continue
        for workload in mesh.workloads.within(namespace):
            fitting = [limit for limit in limits if _selects(limit, workload.labels)]
            later = [limit for limit in fitting if limit.name != fitting[0].name]
            for limit in later[:1]:
                draft = failed(
                    limit.place_at("spec", "selectorLabels", part="key"),
                    f"selects the pods of {workload.title}, and so does {fitting[0].title}",
                    "a pod has one RateLimit only",
                    "put the buckets of both into one RateLimit, or select other pods",
                )
                related = ("the other limit", fitting[0].place_at("spec", "selectorLabels", part="key"))
                yield replace(draft, related=(related,), confidence="medium")


def _selects(limit: Resource, labels: Mapping[str, str]) -> bool:
    wanted = string_map(limit.get("spec", "selectorLabels"))
    return bool(wanted) and matches(wanted, labels) is True


@once
def _istios(mesh: Mesh) -> list[Resource]:
    return mesh.scope.of(KYMA_OPERATOR, "Istio")


def istio_place(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """One Istio resource in a cluster, and that in kyma-system."""
    served = [r for r in _istios(mesh) if r.ns == SYSTEM]
    for resource in _istios(mesh):
        if resource.ns != SYSTEM:
            wanted = "it has no namespace" if not resource.namespace_written else f"not {resource.ns}"
            draft = _refused(
                resource,
                ("metadata", "namespace"),
                f"is not in the namespace {SYSTEM}",
                f"{SYSTEM} is expected, {wanted}",
                f"write namespace: {SYSTEM}",
            )
            yield draft if resource.namespace_written else replace(draft, confidence="low")
        elif served[0].key != resource.key:
            draft = _refused(
                resource,
                ("metadata", "name"),
                f"is a second Istio resource beside {served[0].title}",
                "only the oldest counts",
                "keep one Istio resource in a cluster",
            )
            related = (("the other one", served[0].place()),)
            yield replace(draft, severity="warning", confidence="medium", related=related)


def _refused(resource: Resource, path: tuple[str, ...], says: str, label: str, advice: str) -> Draft:
    message = f"{resource.title} {says}; Kyma does not apply it"
    return Draft(resource.place_at(*path), message, label=label, help=advice)


def istio_values(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in filter(None, map(spec, _istios(mesh))):
        if block.has("experimental"):
            draft = inert(
                block.place("experimental", "key"),
                "has experimental settings, which only the experimental build of Kyma's module takes",
                "refused by the regular module",
                "remove experimental",
            )
            yield replace(draft, confidence="medium")
        config = block.block("config")
        if config is not None:
            yield from _authorizers(config)
            yield from _expressions(config)
        yield from _rolling(block)


def _authorizers(config: Block) -> Iterator[Draft]:
    seen: set[str] = set()
    for authorizer in config.blocks("authorizers"):
        name = authorizer.text("name")
        if name in seen:
            yield inert(
                authorizer.place("name"),
                f"has two authorizers named {name!r}; Kyma sets it to the state Warning",
                "the name is taken",
                "give each authorizer a name of its own",
                severity="warning",
            )
        elif name:
            seen.add(name)


def _expressions(config: Block) -> Iterator[Draft]:
    matcher = config.block("proxyStatsMatcher")
    for item, text in matcher.texts("inclusionRegexps") if matcher else ():
        if problem := why_not_re2(text):
            yield inert(
                config.resource.place(item),
                f"includes statistics by the regular expression {text!r}, which {problem}; Kyma refuses it",
                problem,
                "write it in the dialect of RE2",
            )


def _rolling(block: Block) -> Iterator[Draft]:
    components = block.block("components")
    for name in _ROLLED if components else ():
        found: Block | None = components
        for step in (name, "k8s", "strategy", "rollingUpdate"):
            found = found.block(step) if found else None
        for field in ("maxSurge", "maxUnavailable") if found else ():
            number = found.number(field) if found else None
            if found and number is not None and number < 0:
                yield denied(
                    found.place(field),
                    f"has {field}: {number} for {name}",
                    "less than 0",
                    "write a count of pods or a percentage",
                )
