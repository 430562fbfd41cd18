"""What in the mesh-wide policies for traffic does istiod refuse? (spec schemas 3.3 MeshConfig 6, 7, 15 to 21)

The blocks are those of DestinationRules and VirtualServices, and so are their checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission import connection_pool, locality
from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.mesh_config import as_mesh_config, duration, refusal, warning
from meshlint.checks.admission.mesh_sources import written
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.retries import invalid_tokens

Options = Mapping[str, Any]

_POOL_DURATIONS: Final = (
    (("http",), "idleTimeout"),
    (("tcp",), "connectTimeout"),
    (("tcp",), "maxConnectionDuration"),
    (("tcp", "tcpKeepalive"), "time"),
    (("tcp", "tcpKeepalive"), "interval"),
)
_RETRY_ONLY: Final = ("perTryTimeout", "retryRemoteLocalities", "retryIgnorePreviousHosts")


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in written(mesh):
        for name in locality.SETTINGS:
            setting = config.block(name)
            if setting is not None:
                yield from as_mesh_config(_locality(setting, name))
        policy = config.block("defaultTrafficPolicy")
        if policy is not None:
            yield from _pool(policy)
            yield from _outliers(policy)
        retries = config.block("defaultInboundHttpRetryPolicy")
        if retries is not None:
            yield from _retries(retries)


def _locality(setting: Block, name: str) -> Iterator[Draft]:
    yield from locality.same_region(setting)
    yield from locality.failover(setting, name)
    if name == "localityLbSetting":
        yield from locality.distribute(setting)


def _pool(policy: Block) -> Iterator[Draft]:
    pool = policy.block("connectionPool")
    if pool is None:
        return
    yield from as_mesh_config(connection_pool.empty(pool))
    yield from as_mesh_config(
        draft for draft in connection_pool.settings(pool) if "http2KeepAlive" not in draft.message
    )
    for path, name in _POOL_DURATIONS:
        block: Block | None = pool
        for step in path:
            block = block.block(step) if block is not None else None
        if block is not None:
            yield from _duration(block, name)


def _duration(block: Block, name: str) -> Iterator[Draft]:
    found = duration(block, name)
    if isinstance(found, Draft):
        yield found


def _outliers(policy: Block) -> Iterator[Draft]:
    outliers = policy.block("outlierDetection")
    if outliers is None:
        return
    for name in ("baseEjectionTime", "interval"):
        yield from _duration(outliers, name)
    for name in ("maxEjectionPercent", "minHealthPercent"):
        percent = outliers.number(name)
        if percent is not None and not 0 <= percent <= 100:
            yield refusal(
                outliers.place(name),
                f" sets {name} to {percent}",
                "no percentage",
                "write a number from 0 to 100",
            )
    split = "splitExternalLocalOriginErrors"
    unsplit = split not in outliers.node.index or getattr(outliers.node.get(split), "value", None) is False
    if unsplit and (outliers.number("consecutiveLocalOriginFailures") or 0) > 0:
        yield refusal(
            outliers.place("consecutiveLocalOriginFailures", "key"),
            f" sets consecutiveLocalOriginFailures without {split}",
            "counted only when errors are split",
            f"set {split}: true beside it, or drop it",
        )


def _retries(retries: Block) -> Iterator[Draft]:
    attempts = retries.number("attempts")
    if attempts is not None and attempts < 0:
        yield refusal(retries.place("attempts"), f" retries {attempts} times", "negative", "write 0 for none")
    others = [name for name in ("backoff", "perTryTimeout", "retryOn") if retries.has(name)]
    if attempts == 0 and others:
        yield refusal(
            retries.place(others[0], "key"),
            f" sets {others[0]} of retries, of which there are none",
            "attempts is 0",
            "set attempts, or leave the rest out",
        )
    yield from _duration(retries, "backoff")
    yield from _duration(retries, "perTryTimeout")
    wrong = invalid_tokens(retries.text("retryOn") or "")
    if wrong:
        yield refusal(
            retries.place("retryOn"),
            f" retries on {', '.join(wrong)}, which is no condition that the proxy knows",
            "unknown condition",
            "use conditions such as connect-failure or 503, with commas and no spaces between",
        )
    for name in _RETRY_ONLY:
        if retries.has(name):
            yield warning(
                retries.place(name, "key"),
                f" sets {name} for the retries of inbound requests, where it has no effect",
                "ignored",
                "leave it out",
            )
