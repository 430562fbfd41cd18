"""Which BackendTLSPolicies are refused? (spec schemas 4.1)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, once, spec
from meshlint.checks.admission.gateway_api import denied, length
from meshlint.checks.admission.gateway_api_routes import repeated
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import GATEWAY_API

Options = Mapping[str, Any]

_NAMES: Final = {"Hostname": "hostname", "URI": "uri"}


@once
def _specs(mesh: Mesh) -> list[Block]:
    return [block for block in map(spec, mesh.scope.of(GATEWAY_API, "BackendTLSPolicy")) if block]


def targets(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        yield from repeated(block.blocks("targetRefs"), "", "", "target", ("sectionName",))


def validation(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _specs(mesh):
        inner = block.block("validation")
        if inner is not None:
            yield from _authorities(inner)
            for name in inner.blocks("subjectAltNames"):
                yield from _subject(name)


def _authorities(block: Block) -> Iterator[Draft]:
    count = length(block, "caCertificateRefs", 0)
    if count and block.text("wellKnownCACertificates"):
        yield denied(
            block.place("wellKnownCACertificates", "key"),
            "has both caCertificateRefs and wellKnownCACertificates",
            "caCertificateRefs are there",
            "keep one of them",
        )
    elif count == 0 and block.lacks("wellKnownCACertificates"):
        yield denied(
            block.place("caCertificateRefs", "key"),
            "does not say which authorities the certificate of the backend may come from",
            "neither caCertificateRefs nor wellKnownCACertificates",
            "add caCertificateRefs, or wellKnownCACertificates: System",
        )


def _subject(name: Block) -> Iterator[Draft]:
    kind = name.text("type")
    for value, field in _NAMES.items():
        if kind == value and name.lacks(field):
            yield denied(
                name.place("type"),
                f"has a subject of the type {kind} without {field}",
                f"{field} is missing",
                f"add {field}",
            )
        elif kind in _NAMES and kind != value and name.has(field):
            yield denied(
                name.place(field, "key"),
                f"has {field} in a subject of the type {kind}",
                f"the type is {kind}",
                f"remove it, or write type: {value}",
            )
