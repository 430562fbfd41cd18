"""How often does a proxy repeat a failed request of a route, on which failures, and who says so?

A rule without `retries` is retried twice by default; `retries: {}` turns retries off (spec traffic 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Any, Final

from meshlint.mesh.facts import Fact
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.durations import gateway_duration, go_duration, istio_duration
from meshlint.source.nodes import Mapping, Node, Scalar, int_of, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.routes import Route

DEFAULT_ATTEMPTS: Final = 2
DEFAULT_RETRY_ON: Final = (
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "retriable-status-codes",
)
TOKENS: Final = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx",
        "refused-stream", "retriable-status-codes", "retriable-headers", "envoy-ratelimited",
        "http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal", "resource-exhausted",
        "unavailable",
    }
)  # fmt: skip
#: failures after which the request may have been processed (spec traffic 3.4)
UNSAFE_TOKENS: Final = frozenset(
    {
        "reset", "5xx", "gateway-error", "retriable-4xx", "deadline-exceeded", "internal",
        "resource-exhausted", "retriable-headers",
    }
)  # fmt: skip
STATUS_CODES: Final = frozenset(
    {
        *range(100, 104), *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 419),
        *range(421, 427), 428, 429, 431, 451, *range(500, 509), 510, 511,
    }
)  # fmt: skip
#: tokens that retry nothing on their own
INERT_ALONE: Final = frozenset({"retriable-status-codes", "retriable-headers"})
_BACKOFF_CAP: Final = 10


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` are retries after the first try, 0 when off; `per_try` and `backoff` in nanoseconds.

    `explicit`: the rule itself says so. `applies` is False where no HTTP is proxied.
    """

    attempts: int = 0
    retry_on: tuple[str, ...] = ()
    per_try: int | None = None
    backoff: int | None = None
    explicit: bool = False
    applies: bool = True


BUILT_IN: Final = Retry(DEFAULT_ATTEMPTS, DEFAULT_RETRY_ON)
NOT_APPLICABLE: Final = Retry(applies=False)


class Retries:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[int, Fact[Retry]] = {}
        self._default: Fact[Retry] | None = None

    def of(self, route: Route) -> Fact[Retry]:
        """The retry policy of a rule; unknown where it is invalid, templated or patched."""
        known = self._known.get(id(route))
        if known is None:
            known = self._known[id(route)] = self._effective(route)
        return known

    @property
    def mesh_default(self) -> Fact[Retry]:
        """What rules without a policy get; also what calls without any rule get."""
        if self._default is None:
            self._default = self._read_default()
        return self._default

    @property
    def mesh_default_written(self) -> bool:
        """Does the mesh configuration set a default retry policy?"""
        setting = self.mesh.config.setting("defaultHttpRetryPolicy")
        return setting.known and setting.value is not None

    def _effective(self, route: Route) -> Fact[Retry]:
        if route.protocol != "http" or route.action != "route":
            return Fact.of(NOT_APPLICABLE, route.place(), reason="the rule proxies no HTTP")
        filters = self.mesh.timeouts.patches.touching(route)
        if filters:
            return Fact.missing(f"{filters[0].title} patches routes", filters[0].place(), route.place())
        if route.api == "HTTPRoute" and isinstance(route.node.get("retry"), Mapping):
            return _of_http_route(route)
        setting = route.setting("retries") if route.api == "VirtualService" else None
        if setting is not None:
            return _of_virtual_service(setting[1], Place(*setting))
        if not route.bound:
            return Fact.missing("the rule that delegates to it may set retries", route.place())
        return self.mesh_default

    def _read_default(self) -> Fact[Retry]:
        setting: Fact[Any] = self.mesh.config.setting("defaultHttpRetryPolicy")
        if not setting.known:
            return Fact.missing(setting.reason, *setting.because)
        if not isinstance(setting.value, MappingOf):
            certain = self.mesh.config.installed
            return Fact.of(BUILT_IN, certain=certain, reason="Istio's default retry policy")
        return Fact.of(_of_plain(setting.value), *setting.because, reason="the mesh configuration")


def split_retry_on(text: str) -> tuple[str, ...]:
    """The tokens of a retryOn list; the default list where it is empty."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) or DEFAULT_RETRY_ON


def invalid_tokens(text: str) -> list[str]:
    """The parts of a retryOn list that Istio's webhook refuses; it does not trim (spec traffic 3.2)."""
    if not text:
        return []
    return [part for part in text.split(",") if part not in TOKENS and not _is_status(part)]


def inert(tokens: Iterable[str]) -> bool:
    """Do these tokens retry nothing, because their status codes or headers are missing?"""
    return set(tokens) <= INERT_ALONE


def unsafe_tokens(tokens: Iterable[str]) -> list[str]:
    """Tokens that repeat requests which the upstream may have processed."""
    return [t for t in tokens if t in UNSAFE_TOKENS or (t.isdigit() and int(t) >= 400)]


def tries_that_fit(attempts: int, per_try: int | None, limit: int | None) -> int:
    """How many tries can time out within the timeout, backoff left aside? (spec traffic 2.6)"""
    if limit is None:
        return attempts + 1
    if per_try is None or per_try >= limit:
        return 1
    return min(attempts + 1, limit // per_try)


def average_backoff(base: int, retry: int) -> int:
    """How long a proxy waits on average before the n-th retry, n from 1."""
    return min(base * ((1 << retry) - 1), _BACKOFF_CAP * base) // 2


def _of_virtual_service(node: Node, place: Place) -> Fact[Retry]:
    if not isinstance(node, Mapping):
        return Fact.missing("retries is not a mapping", place)
    attempts = _attempts(node.get("attempts"))
    if attempts is None:
        return Fact.missing("attempts is not a number", place)
    retry_on = text_of(node.get("retryOn")) or ""
    if is_placeholder(retry_on):
        return Fact.missing("retryOn is templated", place)
    if attempts <= 0:
        return Fact.of(Retry(explicit=True), place)
    times = [_duration(node.get(name)) for name in ("perTryTimeout", "backoff")]
    return Fact.of(Retry(attempts, split_retry_on(retry_on), times[0], times[1], explicit=True), place)


def _of_http_route(route: Route) -> Fact[Retry]:
    """Spec traffic 3.6: four tokens and the codes, two attempts where none are written."""
    node = route.node.get("retry")
    place = route.place("retry")
    written = node.dig("attempts") if node is not None else None
    attempts = DEFAULT_ATTEMPTS if written is None else int_of(written)
    if attempts is None:
        return Fact.missing("attempts is not a number", place)
    codes = tuple(item.text for item in texts(node.dig("codes") if node is not None else None))
    per_try = _backend_limit(route)
    return Fact.of(Retry(attempts, (*DEFAULT_RETRY_ON[:4], *codes), per_try, None, explicit=True), place)


def _backend_limit(route: Route) -> int | None:
    """The backendRequest of a rule with retry is the limit of each try."""
    node = route.node.dig("timeouts", "backendRequest")
    return (gateway_duration(node).nanoseconds or None) if node is not None else None


def _of_plain(policy: MappingOf[str, Any]) -> Retry:
    attempts = policy.get("attempts", 0)
    if not isinstance(attempts, int) or attempts <= 0:
        return Retry()
    per_try = go_duration(str(policy.get("perTryTimeout", "")))
    backoff = go_duration(str(policy.get("backoff", "")))
    return Retry(attempts, split_retry_on(str(policy.get("retryOn") or "")), per_try, backoff)


def _attempts(node: Node | None) -> int | None:
    return 0 if node is None else int_of(node)


def _duration(node: Node | None) -> int | None:
    return istio_duration(node).nanoseconds if isinstance(node, Scalar) else None


def _is_status(part: str) -> bool:
    digits = part[1:] if part[:1] in ("+", "-") else part
    return digits.isascii() and digits.isdigit() and int(part) in STATUS_CODES
