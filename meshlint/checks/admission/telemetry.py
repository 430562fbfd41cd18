"""Which Telemetry objects does Istio refuse or warn about? (spec schemas 3.3, traffic 6.2 to 6.4)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.blocks import WARNED, Block, refused, spec, warned
from meshlint.checks.admission.cel import cel_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_TELEMETRY
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


def _specs(mesh: Mesh) -> Iterator[Block]:
    for resource in mesh.scope.of(ISTIO_TELEMETRY, "Telemetry"):
        block = spec(resource)
        if block is not None:
            yield block


def tags(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        for tracing in block.blocks("tracing"):
            yield from _custom_tags(tracing)
        for metrics in block.blocks("metrics"):
            for override in metrics.blocks("overrides"):
                yield from _tag_overrides(override)


def _custom_tags(tracing: Block) -> Iterator[Draft]:
    found = tracing.block("customTags")
    for key in _empty_keys(found):
        yield refused(
            tracing.resource.place(key),
            "has a custom tag without a name",
            "empty",
            "name the tag of the spans",
        )


def _tag_overrides(override: Block) -> Iterator[Draft]:
    found = override.block("tagOverrides")
    for key in _empty_keys(found):
        yield warned(
            override.resource.place(key),
            "overrides a tag without a name",
            "empty",
            "name the tag of the metric",
        )
    for name in found.node if found is not None else ():
        tag = found.block(name) if found is not None else None
        if tag is None or tag.enum("operation", "UPSERT") != "UPSERT" or not tag.lacks("value"):
            continue
        if "operation" in tag.node.index:  # the schema says that
            continue
        yield refused(
            tag.place("value") if "value" in tag.node.index else tag.place(),
            f"overrides the tag {name} without a value, and the operation is UPSERT where none is written",
            "UPSERT needs a value",
            "give the expression that makes the value, or set operation to REMOVE",
        )


def _empty_keys(block: Block | None) -> Iterator[Scalar]:
    for key, _ in block.node.items if block is not None else ():
        if isinstance(key, Scalar) and not key.text:
            yield key


def several_providers(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """More tracing than Istio can do: one entry with one provider."""
    for block in _specs(mesh):
        entries = block.blocks("tracing")
        if len(entries) > 1:
            yield Draft(
                block.place("tracing", "key"),
                f"{block.resource.title} has {len(entries)} tracing entries, which Istio does not support: "
                "it lays them over each other, and one provider is left",
                label="more than one entry",
                help="keep one entry here; other workloads get a Telemetry of their own",
                equivalents=WARNED,
            )
        for entry in entries:
            providers = entry.blocks("providers")
            if len(providers) > 1:
                first = providers[0].text("name") or "the first"
                yield Draft(
                    entry.place("providers", "key"),
                    f"{block.resource.title} names {len(providers)} tracing providers, and only {first} gets "
                    "spans",
                    label="the first one alone is used",
                    help="name one provider; a collector can pass spans on to several",
                    equivalents=WARNED,
                )


def filters(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        for logging in block.blocks("accessLogging"):
            written = logging.block("filter")
            text = written.text("expression") if written is not None else None
            if written is None or text is None or is_placeholder(text):
                continue
            problem = cel_problem(text)
            if problem:
                yield refused(
                    written.place("expression"),
                    f"has a filter of access logs that {problem}",
                    "no CEL expression",
                    "write a CEL expression such as response.code >= 400",
                )
