"""Is what happens what a test expects? One function for each shape of `expect`."""

from __future__ import annotations

from typing import Any

from meshlint.mesh.hosts import resolve
from meshlint.mesh.retries import Retry
from meshlint.mesh.rewrites import DirectResponse, Fault, Redirect
from meshlint.mesh.shares import Share
from meshlint.mesh.timeouts import Timeout
from meshlint.meshtest.files import NONE
from meshlint.source.durations import go_duration


def target_of(wanted: Any) -> dict[str, Any]:
    """``host`` or ``host:port`` in its long form."""
    if isinstance(wanted, dict):
        return wanted
    host, _, port = str(wanted).partition(":")
    return {"host": host, "port": int(port)} if port.isdigit() else {"host": str(wanted)}


def goes(share: Share, entry: dict[str, Any], domain: str) -> bool:
    """Is it the destination of an entry, whose host may be short as in the rule, name.namespace, or full?"""
    if "subset" in entry and entry["subset"] != share.subset:
        return False
    if "port" in entry and entry["port"] != share.port:
        return False
    return share.host in spellings(entry["host"], share.place.resource.ns, domain)


def spellings(host: str, namespace: str, domain: str) -> tuple[str, ...]:
    """The full names that a host may stand for."""
    return host, resolve(host, namespace, domain), f"{host}.svc.{domain}"


def timeout_fits(timeout: Timeout, wanted: str) -> bool:
    limit = timeout.limit if timeout.applies else None
    return limit == (None if wanted == NONE else go_duration(wanted))


def response_fits(found: DirectResponse | None, wanted: Any) -> bool:
    """An answer that only a part of the requests gets is one with its part."""
    if isinstance(wanted, dict):
        wanted = {"percent": 100.0, **wanted}
        if found is None or not close(found.percent, wanted.pop("percent")):
            return False
    return fields_fit(found, wanted)


def retry_fits(retry: Retry, wanted: Any) -> bool:
    attempts = retry.attempts if retry.applies else 0
    if not isinstance(wanted, dict):
        return attempts == (0 if wanted == NONE else wanted)
    if attempts != wanted["attempts"]:
        return False
    if "perTryTimeout" in wanted and go_duration(wanted["perTryTimeout"]) != retry.per_try:
        return False
    conditions = {part.strip() for part in wanted.get("retryOn", "").split(",")}
    return "retryOn" not in wanted or conditions == set(retry.retry_on)


def fields_fit(found: Redirect | DirectResponse | None, wanted: Any) -> bool:
    if wanted == NONE:
        return found is None
    return found is not None and all(getattr(found, key) == value for key, value in wanted.items())


def fault_fits(found: Fault, wanted: Any) -> bool:
    if wanted == NONE:
        return found == Fault()
    fits = [bool(found.abort) is ("abort" in wanted), bool(found.delay) is ("delay" in wanted)]
    if "abort" in wanted:
        fits.append(found.abort == str(wanted["abort"]))
    if "delay" in wanted:
        fits.append(found.delay == go_duration(wanted["delay"]))
    if "abortPercent" in wanted:
        fits.append(close(found.abort_percent, wanted["abortPercent"]))
    if "delayPercent" in wanted:
        fits.append(close(found.delay_percent, wanted["delayPercent"]))
    return all(fits)


def close(a: float, b: float) -> bool:
    return abs(a - b) < 0.05
