"""Which connection pools does Istio's validation refuse? (spec schemas 3.3 DestinationRule 10 to 25)

DestinationRules and Sidecars share the block. Its durations are the business of `timeout-invalid`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshlint.checks.admission.blocks import Block, refused
from meshlint.findings import Draft

_COUNTS: Final = {
    "tcp": ("maxConnections",),
    "http": (
        "http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries",
        "maxConcurrentStreams",
    ),
}  # fmt: skip
#: 0 says "unlimited" there, and that is what it does
_ZERO_IS_MEANT: Final = "maxRequestsPerConnection"


def empty(pool: Block, whose: str = "") -> Iterator[Draft]:
    """Row 10. `whose` is the part of the object in messages, with a leading space."""
    if "http" not in pool.node.index and "tcp" not in pool.node.index:
        yield refused(
            pool.place(),
            f"has a connectionPool{whose} with neither tcp nor http",
            "sets nothing",
            "set limits under tcp or http, or leave connectionPool out",
        )


def settings(pool: Block, whose: str = "") -> Iterator[Draft]:
    """Rows 11 to 15, 17 to 20 (18 and 19: what is missing)."""
    for block, name, number in _counts(pool):
        if number < 0:
            yield refused(
                block.place(name),
                f"sets {name}{whose} to {number}",
                "negative",
                f"write a positive limit, or leave {name} out to have none",
            )
    http = pool.block("http")
    if http is not None:
        yield from _http(http, whose)


def _http(http: Block, whose: str) -> Iterator[Draft]:
    if http.true("useClientProtocol") and http.text("h2UpgradePolicy") == "UPGRADE":
        yield refused(
            http.place("useClientProtocol", "key"),
            f"sets useClientProtocol and h2UpgradePolicy UPGRADE{whose}: connections cannot keep the "
            "protocol of the client and always use HTTP/2",
            "beside h2UpgradePolicy: UPGRADE",
            "keep one of the two",
        )
    ping = http.block("http2KeepAlive")
    for name in ("interval", "timeout") if ping else ():
        if ping and ping.lacks(name):
            yield refused(
                ping.place(name if name in ping.node.index else "", "key"),
                f"has http2KeepAlive{whose} without {name}",
                f"{name} is missing",
                "set both: interval between pings, timeout to wait for the answer",
            )


def zeros(pool: Block, whose: str = "") -> Iterator[Draft]:
    """Limits of 0, which are no limits."""
    for block, name, number in _counts(pool):
        if number == 0 and name != _ZERO_IS_MEANT:
            yield Draft(
                block.place(name),
                f"{block.resource.title} sets {name}{whose} to 0, which is the same as leaving it out: "
                "there is no limit",
                label="no limit",
                help="write 1 for the smallest limit, or leave it out",
            )


def _counts(pool: Block) -> Iterator[tuple[Block, str, int]]:
    for part, names in _COUNTS.items():
        block = pool.block(part)
        for name in names if block else ():
            number = block.number(name) if block else None
            if block and number is not None:
                yield block, name, number
