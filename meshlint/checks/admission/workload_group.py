"""Which probes of a WorkloadGroup does Istio's validation refuse? (spec schemas 3.3 and 3.4)

Ports, schemes, negative numbers and a missing command are in the schema of the CRD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING

Options = Mapping[str, Any]

_METHODS: Final = ("httpGet", "tcpSocket", "exec")
_HEADER: Final = re.compile(r"[-A-Za-z0-9]+\Z")


def probe(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "WorkloadGroup"):
        block = spec(resource)
        found = block.block("probe") if block is not None else None
        if found is not None:
            yield from _method(found)
            yield from _headers(found)
            yield from _command(found)


def _method(probe: Block) -> Iterator[Draft]:
    if any(name in probe.node.index for name in _METHODS):
        return
    if "grpc" in probe.node.index:
        yield refused(
            probe.place("grpc", "key"),
            "has a probe of gRPC, which the agent knows but the webhook does not",
            "refused by the webhook",
            "use httpGet, tcpSocket or exec",
        )
    else:
        yield refused(
            probe.place(),
            "has a probe without httpGet, tcpSocket or exec",
            "probes nothing",
            "say how to probe, or remove it",
        )


def _headers(probe: Block) -> Iterator[Draft]:
    get = probe.block("httpGet")
    for header in get.blocks("httpHeaders") if get is not None else ():
        name = header.text("name")
        if name is not None and not _HEADER.match(name):
            yield refused(
                header.place("name"),
                f"probes with the header {name!r}",
                "no header name for a probe",
                "use letters, digits and hyphens",
            )


def _command(probe: Block) -> Iterator[Draft]:
    command = probe.block("exec")
    if command is not None and "command" in command.node.index and command.lacks("command"):
        yield refused(
            command.place("command", "key"),
            "has a probe with an empty command",
            "no command",
            "write the command as a list",
        )
