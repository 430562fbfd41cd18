"""What a test expects and what happens, in the same words."""

from __future__ import annotations

from typing import Any

from meshlint.mesh.retries import Retry
from meshlint.mesh.rewrites import DirectResponse, Fault, Redirect
from meshlint.mesh.shares import Lost, Share, Split
from meshlint.mesh.timeouts import Timeout
from meshlint.meshtest.files import NONE
from meshlint.source.durations import spell


def spelled(wanted: Any) -> str:
    """A value of `expect`, whatever its shape."""
    if isinstance(wanted, bool):
        return "true" if wanted else "false"
    if isinstance(wanted, dict):
        return ", ".join(f"{key} {value}" for key, value in wanted.items()) or "anything"
    if isinstance(wanted, list):
        return "; ".join(map(spelled, wanted))
    return str(wanted)


def spelled_split(split: Split) -> str:
    parts = [_spelled_share(share, "weight") for share in split.shares]
    return "; ".join([*parts, *map(_spelled_lost, split.lost)]) or "nowhere"


def spelled_copies(copies: tuple[Share, ...]) -> str:
    return "; ".join(_spelled_share(copy, "percent") for copy in copies) or NONE


def _spelled_share(share: Share, part: str) -> str:
    port = f", port {share.port}" if share.port else ""
    subset = f", subset {share.subset}" if share.subset else ""
    weight = f", {part} {share.percent:.4g}" if share.percent < 100 else ""
    return f"host {share.host}{port}{subset}{weight}"


def _spelled_lost(lost: Lost) -> str:
    answer = f"status {lost.status}" if lost.status else "a closed connection"
    weight = f", weight {lost.percent:.4g}" if lost.percent < 100 else ""
    return f"nowhere, {answer}{weight}: {lost.reason}"


def spelled_timeout(timeout: Timeout) -> str:
    return spell(timeout.limit) if timeout.applies and timeout.limit is not None else NONE


def spelled_retry(retry: Retry) -> str:
    if not retry.applies or not retry.attempts:
        return NONE
    per_try = f", perTryTimeout {spell(retry.per_try)}" if retry.per_try is not None else ""
    return f"attempts {retry.attempts}{per_try}, retryOn {','.join(retry.retry_on)}"


def spelled_redirect(found: Redirect | None) -> str:
    if found is None:
        return NONE
    port = f":{found.port}" if found.port else ""
    return f"code {found.code}, to {found.scheme}://{found.host}{port}{found.path}"


def spelled_response(found: DirectResponse | None) -> str:
    if found is None:
        return NONE
    body = f", body {found.body}" if found.body else ""
    return f"status {found.status}{body}" + (f", percent {found.percent:.4g}" if found.percent < 100 else "")


def spelled_fault(found: Fault) -> str:
    parts = []
    if found.abort:
        parts.append(f"abort {found.abort}, abortPercent {found.abort_percent:g}")
    if found.delay:
        parts.append(f"delay {spell(found.delay)}, delayPercent {found.delay_percent:g}")
    return ", ".join(parts) or NONE
