"""Does an injected delay meet the timeout that it seems to test? (spec traffic 5.6)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.admission.virtual_service import http_rules
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.source.durations import istio_duration, spell

Options = Mapping[str, Any]


def beyond_timeout(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for rule in http_rules(mesh):
        timeout = rule.node.get("timeout")
        delay = rule.node.dig("fault", "delay", "fixedDelay")
        if timeout is None or delay is None:
            continue
        limit, length = istio_duration(timeout).nanoseconds, istio_duration(delay).nanoseconds
        if limit and length and length >= limit:
            yield Draft(
                rule.resource.place(delay),
                f"{rule.resource.title} delays requests by {spell(length)} and has a timeout of "
                f"{spell(limit)}, which starts after the delay: the requests are late, and "
                "not one of them times out by it",
                label="not counted by the timeout",
                help="to test this timeout delay the service behind it, not the requests on the way there",
                related=(("starts after the delay", rule.place("timeout")),),
            )
