"""Checks of the family resilience about retries (catalogue: spec traffic 8.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.resilience import absence, every_policy, hosts_of, listed, to_control_plane
from meshlint.findings import Draft
from meshlint.mesh.destination_rules import DestinationRule
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.retries import (
    Retry,
    average_backoff,
    inert,
    invalid_tokens,
    split_retry_on,
    unsafe_tokens,
)
from meshlint.mesh.routes import Destination, Route
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.resources import Place, Resource
from meshlint.source.durations import spell
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, int_of, text_of
from meshlint.source.templates import is_placeholder


def retry_without_attempts(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource, retries, _ in _retry_blocks(mesh):
        attempts = retries.get("attempts")
        number = 0 if attempts is None else int_of(attempts)
        if number is None or number > 0:
            continue
        if attempts is not None and number < 0:
            yield _negative(resource, retries)
            continue
        found = [name for name in _NEED_ATTEMPTS if _written(retries.get(name))]
        if found:
            said = "sets attempts to 0" if attempts is not None else "sets no attempts"
            yield Draft(
                resource.place_at(found[0], part="key", inside=retries),
                f"{resource.title} {said} beside {listed(found)} in retries; Istio refuses that",
                label="needs attempts of at least 1",
                help="set retries.attempts to the number of retries, or leave only attempts: 0",
            )


_NEED_ATTEMPTS: Final = ("perTryTimeout", "retryOn", "retryRemoteLocalities")


def _negative(resource: Resource, retries: YamlMapping) -> Draft:
    return Draft(
        resource.place_at("attempts", inside=retries),
        f"{resource.title} sets a negative number of retry attempts; Istio refuses that",
        label="less than 0",
        help="write 0 to switch retries off",
    )


def retry_silently_disabled(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource, retries, key in _retry_blocks(mesh):
        if retries.get("attempts") is not None or any(_written(retries.get(n)) for n in _NEED_ATTEMPTS):
            continue
        what = f"only {listed(list(retries.index))}" if retries.index else "nothing"
        yield Draft(
            key,
            f"{resource.title} writes retries with {what} in it; without attempts that switches off "
            "even the two retries of the default policy",
            label="retries are off here",
            help="set attempts, write attempts: 0 if no retry is meant, or remove retries for the default",
        )


def retry_on_invalid(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource, retries, _ in _retry_blocks(mesh):
        node = retries.get("retryOn")
        if not isinstance(node, Scalar) or node.value is None or is_placeholder(node.text):
            continue
        if node.string is None:
            yield Draft(
                Place(resource, node),
                f"{resource.title} writes retryOn as {node.text} without quotes, which is not a string; "
                "Istio refuses it",
                label="not a string",
                help=f'write "{node.text}"',
            )
            continue
        wrong = invalid_tokens(node.text)
        if wrong:
            yield _wrong_tokens(resource, node, wrong)


def _wrong_tokens(resource: Resource, node: Scalar, wrong: list[str]) -> Draft:
    shown = listed([repr(part) for part in wrong])
    blank = any(part != part.strip() for part in wrong)
    empty = "" in wrong
    help_ = "use conditions that Envoy knows, such as 5xx, reset or connect-failure, or HTTP status codes"
    if blank or empty:
        help_ = "separate conditions with commas alone: no blanks, none at the end"
    return Draft(
        Place(resource, node),
        f"{resource.title} lists {shown} in retryOn, which Istio refuses",
        label="no such retry condition",
        help=help_,
    )


def retry_on_inert(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    for resource, retries, _ in _retry_blocks(mesh):
        text = text_of(retries.get("retryOn"))
        if not text or is_placeholder(text) or (int_of(retries.get("attempts")) or 0) <= 0:
            continue
        tokens = split_retry_on(text)
        if inert(tokens) and not invalid_tokens(text):
            what = "status codes" if "retriable-status-codes" in tokens else "headers"
            yield Draft(
                resource.place_at("retryOn", inside=retries),
                f"{resource.title} retries on {listed(list(tokens))} without saying which {what}, "
                "so nothing is retried",
                label="matches no failure",
                help="add the status codes, such as 503, or a condition such as reset-before-request",
            )


def retry_per_try_vs_timeout(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    seen: set[tuple[int, int]] = set()
    for route in mesh.routes.all:
        if route.api != "VirtualService":
            continue
        retry, timeout = mesh.retries.of(route), mesh.timeouts.of(route)
        if not (retry.known and retry.value.explicit and retry.value.attempts and timeout.known):
            continue
        limit, setting = timeout.value.limit, route.setting("retries")
        if limit is None or setting is None:
            continue
        resource, retries = setting
        key = (id(retries), id(timeout.because[0].node))
        if isinstance(retries, YamlMapping) and key not in seen:
            seen.add(key)
            yield from _tries_against_timeout(resource, retries, retry.value, limit, timeout.because[0])


def _tries_against_timeout(
    resource: Resource, retries: YamlMapping, policy: Retry, limit: int, place: Place
) -> Iterator[Draft]:
    attempts, per_try, backoff = policy.attempts, policy.per_try, policy.backoff
    related = ((f"the whole request may take {spell(limit)}", place),)
    if per_try is not None and per_try >= limit:
        yield Draft(
            resource.place_at("perTryTimeout", inside=retries),
            f"{resource.title} gives each try {spell(per_try)} and the whole request {spell(limit)}, "
            "so the limit of a try never ends one and a hanging try is never repeated",
            label=f"not below the timeout of {spell(limit)}",
            help=f"set perTryTimeout below {spell(limit)} divided by the number of tries",
            related=related,
        )
    elif per_try is not None and attempts * per_try >= limit:
        yield Draft(
            resource.place_at("perTryTimeout", inside=retries),
            f"{resource.title} allows {attempts} retries of {spell(per_try)} each in a request of "
            f"{spell(limit)}; when tries time out, only {limit // per_try} of {attempts + 1} can run",
            label=f"{limit // per_try} such tries fill the timeout",
            help="shorten perTryTimeout, lower attempts, or raise the timeout",
            related=related,
            severity="info",
        )
    elif backoff is not None and sum(average_backoff(backoff, n) for n in range(1, attempts + 1)) >= limit:
        yield Draft(
            resource.place_at("backoff", inside=retries),
            f"{resource.title} waits {spell(backoff)} and longer between {attempts} retries in a request "
            f"of {spell(limit)}; on average the last retry never runs",
            label="the waits alone use up the timeout",
            help="shorten backoff, lower attempts, or raise the timeout",
            related=related,
            confidence="medium",
        )


_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_UNSAFE_METHODS: Final = frozenset({"POST", "PATCH"})
_METHODS_REGEX: Final = re.compile(r"\^?\(?([A-Z]+(?:\|[A-Z]+)*)\)?\$?\Z")


def retry_unsafe_method(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    seen: set[int] = set()
    for route in mesh.routes.all:
        retry = mesh.retries.of(route)
        if not (retry.known and retry.value.explicit and retry.value.attempts):
            continue
        unsafe = unsafe_tokens(retry.value.retry_on)
        methods = _methods(route)
        if not unsafe or id(route.node) in seen or (methods is not None and methods <= _SAFE_METHODS):
            continue
        seen.add(id(route.node))
        yield _unsafe(route, unsafe, methods)


def _unsafe(route: Route, unsafe: list[str], methods: set[str] | None) -> Draft:
    named = sorted(_UNSAFE_METHODS & methods) if methods else []
    what = listed(named) if named else "any method, POST and PATCH among them"
    return Draft(
        _retry_on_place(route),
        f"{route.title} retries {what} on {listed(unsafe)}, after which the upstream "
        "may have done the work already: it can be done twice",
        label="may repeat work that was done",
        help="retry writes on connect-failure, refused-stream and reset-before-request only",
        related=_method_places(route, named),
        severity=None if named else "info",
        confidence=None if named else "low",
    )


def _method_places(route: Route, named: list[str]) -> tuple[tuple[str, Place], ...]:
    for match in route.matches:
        node = match.get("method")
        if node is not None and _match_methods(match) & set(named):
            return (("the rule takes this method", Place(route.resource, node)),)
    return ()


def _methods(route: Route) -> set[str] | None:
    """The methods that a rule takes; None where it takes any, or a pattern that is no list."""
    found: set[str] = set()
    matches = route.matches
    if route.root is not None and not (matches and all(map(_match_methods, matches))):
        matches = route.root.matches
    for match in matches:
        methods = _match_methods(match)
        if not methods:
            return None
        found |= methods
    return found or None


def _match_methods(match: YamlMapping) -> set[str]:
    node = match.get("method")
    if isinstance(node, Scalar):
        return {node.text}
    if not isinstance(node, YamlMapping):
        return set()
    exact = text_of(node.get("exact"))
    if exact:
        return {exact}
    listed = _METHODS_REGEX.match(text_of(node.get("regex")) or "")
    return set(listed.group(1).split("|")) if listed else set()


def _retry_on_place(route: Route) -> Place:
    if route.api == "HTTPRoute":
        return route.place("retry", "codes")
    setting = route.setting("retries")
    if setting is None:
        return route.place()
    resource, retries = setting
    return resource.place_at("retryOn", inside=retries)


def retry_storm(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    limit = options["max_attempts"]
    blocks = [(resource, retries) for resource, retries, _ in _retry_blocks(mesh)]
    for resource in mesh.scope.of(GATEWAY_API, "HTTPRoute"):
        rules = resource.mappings("spec", "rules")
        blocks += [(resource, b) for rule in rules if isinstance(b := rule.get("retry"), YamlMapping)]
    for resource, block in blocks:
        attempts = int_of(block.get("attempts"))
        if attempts is not None and attempts > limit:
            yield Draft(
                resource.place_at("attempts", inside=block),
                f"{resource.title} retries up to {attempts} times, so an upstream that fails under load "
                f"gets up to {attempts + 1} times the requests; the policy allows {limit} retries",
                label=f"more than {limit}",
                help=f"lower attempts to {limit} or fewer, or limit retries with a retryBudget",
            )


def retry_budget_missing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    seen: set[int] = set()
    for route in mesh.routes.all:
        retry = mesh.retries.of(route)
        if not (retry.known and retry.value.explicit and retry.value.attempts > options["max_attempts"]):
            continue
        place = retry.because[0]
        confidence = _no_budget(mesh, route)
        if confidence and id(place.node) not in seen:
            seen.add(id(place.node))
            yield Draft(
                place.resource.place_at("attempts", inside=place.node),
                f"{route.title} retries up to {retry.value.attempts} times and no DestinationRule limits "
                f"the retries to {listed([d.host for d in route.destinations])}",
                label="without a retry budget",
                help="set trafficPolicy.retryBudget, or connectionPool.http.maxRetries, in a DestinationRule",
                confidence=confidence,
            )


def _no_budget(mesh: Mesh, route: Route) -> str:
    """How sure is it that none of the destinations has a limit of concurrent retries? '' is not."""
    confidences = [_budget_absent(mesh, route, destination) for destination in route.destinations]
    if not confidences or "" in confidences:
        return ""
    return "low" if "low" in confidences else "high"


def _budget_absent(mesh: Mesh, route: Route, destination: Destination) -> str:
    for service in destination.services[:1]:
        rules = mesh.destination_rules.for_host(route.resource.ns, service)
        if any(map(_limits_retries, rules)):
            return ""
        if rules:
            return "high"
        return absence(mesh, service.namespace)
    return ""


def _limits_retries(rule: DestinationRule) -> bool:
    """Does a DestinationRule limit retries anywhere? Which subset or port is left open here."""
    return any(
        policy.get("retryBudget") is not None
        or policy.dig("connectionPool", "http", "maxRetries") is not None
        for policy in every_policy(rule)
    )


def retry_missing(mesh: Mesh, options: Mapping[str, Any]) -> Iterator[Draft]:
    if mesh.retries.mesh_default_written:
        return
    seen: set[int] = set()
    for route in mesh.routes.all:
        if route.api != "VirtualService" or id(route.node) in seen or to_control_plane(route):
            continue
        if route.setting("fault") is not None or route.shadowed:
            continue
        retry = mesh.retries.of(route)
        if retry.known and retry.value.applies and not retry.value.explicit and route.destinations:
            seen.add(id(route.node))
            yield Draft(
                route.place("route", part="key"),
                f"{route.title} says nothing about retries for {hosts_of(route)}, so Istio retries "
                "twice on its own list of failures",
                label="no retries on this rule",
                help="write retries with the attempts and conditions that are meant, or attempts: 0",
                confidence=None if mesh.config.installed else "medium",
            )


def _retry_blocks(mesh: Mesh) -> Iterator[tuple[Resource, YamlMapping, Place]]:
    """The `retries` of all HTTP rules of VirtualServices, and the places of their keys."""
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        for rule in resource.mappings("spec", "http"):
            retries = rule.get("retries")
            if isinstance(retries, YamlMapping):
                yield resource, retries, resource.place_at("retries", part="key", inside=rule)


def _written(node: Node | None) -> bool:
    """Is the field there with something in it?"""
    return node is not None and not (isinstance(node, Scalar) and node.value in (None, ""))
