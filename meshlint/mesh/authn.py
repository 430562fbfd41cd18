"""Which RequestAuthentications apply to a proxy, and what do their rules accept? (spec security 4.1 to 4.3)

There is no override between scopes: the rules of all attached objects are accepted side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from meshlint.mesh.attachment import Attachments, Proxy, attachment_problem
from meshlint.mesh.scope import ISTIO_SECURITY
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Node, Scalar, is_true, mappings, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


class JwtRule:
    """One entry of jwtRules, or one authentication of an APIRule; `node` is the entry."""

    def __init__(self, resource: Resource, node: Mapping) -> None:
        self.resource = resource
        self.node = node
        self.issuer = text_of(node.get("issuer")) or ""
        self.jwks_uri = text_of(node.get("jwksUri")) or ""
        self.jwks = text_of(node.get("jwks")) or ""
        self.audiences = tuple(item.text for item in texts(node.get("audiences")))
        self.forwards = is_true(node.get("forwardOriginalToken"))

    @cached_property
    def locations(self) -> frozenset[str]:
        """Where a token is looked for; any list that is given replaces the default locations."""
        node = self.node
        headers = {
            "header " + (text_of(h.get("name")) or "").lower() for h in mappings(node.get("fromHeaders"))
        }
        params = {"param " + item.text for item in texts(node.get("fromParams"))}
        cookies = {"cookie " + item.text for item in texts(node.get("fromCookies"))}
        return frozenset(headers | params | cookies) or frozenset(
            {"header authorization", "param access_token"}
        )

    @property
    def strips(self) -> frozenset[str]:
        """Locations from which a valid token is removed; one in a cookie never is (4.3)."""
        return frozenset() if self.forwards else frozenset(
            place for place in self.locations if not place.startswith("cookie ")
        )  # fmt: skip

    @cached_property
    def problem(self) -> tuple[str, Node] | None:
        """Why the rule is refused or can never accept a token, and the node that says so."""
        return next(_problems(self), None)

    @cached_property
    def private_members(self) -> tuple[str, ...]:
        """Members of the inline key set that only the issuer may know."""
        return tuple(dict.fromkeys(_private(self.jwks)))


@dataclass(frozen=True, slots=True, eq=False)
class Authentication:
    """A RequestAuthentication, typed. `problem` says why the API server refuses its targets."""

    resource: Resource
    rules: tuple[JwtRule, ...]
    problem: str

    @property
    def valid_rules(self) -> tuple[JwtRule, ...]:
        return () if self.problem else tuple(rule for rule in self.rules if rule.problem is None)


class Authn:
    """The RequestAuthentications of a scope."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.all = [_authentication(r) for r in mesh.scope.of(ISTIO_SECURITY, "RequestAuthentication")]
        self._by_resource = {id(a.resource): a for a in self.all}
        self._rules: dict[tuple[int, ...], list[JwtRule]] = {}

    @cached_property
    def attachments(self) -> Attachments:
        return Attachments(self.mesh, [a.resource for a in self.all])

    def of(self, proxy: Proxy) -> list[Authentication]:
        """The RequestAuthentications that attach to a proxy."""
        return [self._by_resource[id(r)] for r in self.attachments.of(proxy).policies]

    def maybe_of(self, proxy: Proxy) -> list[Authentication]:
        return [self._by_resource[id(r)] for r in self.attachments.of(proxy).maybe]

    def rules_of(self, proxy: Proxy) -> list[JwtRule]:
        """The rules that a proxy accepts tokens by: one list for all proxies with the same ones."""
        attached = self.attachments.of(proxy).policies
        key = tuple(map(id, attached))
        found = self._rules.get(key)
        if found is None:
            rules = (rule for resource in attached for rule in self._by_resource[id(resource)].valid_rules)
            found = self._rules[key] = list(rules)
        return found


def in_cluster(host: str) -> bool:
    """Is a host of a URL one of the cluster?"""
    return "." not in host or host.endswith((".svc", ".cluster.local", ".local")) or ".svc." in host


def host_of(url: str) -> str:
    """The host of a URL; '' where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _authentication(resource: Resource) -> Authentication:
    rules = tuple(JwtRule(resource, node) for node in resource.mappings("spec", "jwtRules"))
    return Authentication(resource, rules, attachment_problem(resource))


def _problems(rule: JwtRule) -> Iterator[tuple[str, Node]]:
    node = rule.node
    issuer, uri, jwks = node.get("issuer"), node.get("jwksUri"), node.get("jwks")
    if isinstance(issuer, Scalar) and issuer.style and not issuer.text:
        yield "the issuer is empty", issuer
    if not rule.issuer and not rule.jwks_uri:
        yield "neither issuer nor jwksUri is given", node
    if uri is not None and jwks is not None and rule.jwks_uri and rule.jwks:
        yield "jwks and jwksUri exclude each other", jwks
    if uri is not None and rule.jwks_uri and not is_placeholder(rule.jwks_uri):
        scheme = rule.jwks_uri.partition(":")[0].lower()
        if scheme not in ("http", "https"):
            yield f"jwksUri {rule.jwks_uri} is neither http nor https", uri
    url = rule.issuer.lower().startswith(("http://", "https://")) or is_placeholder(rule.issuer)
    if issuer is not None and rule.issuer and not url and not rule.jwks_uri and not rule.jwks:
        yield f"no keys are given, and the issuer {rule.issuer} is no URL to discover them from", issuer


def _private(jwks: str) -> Iterator[str]:
    if not jwks or is_placeholder(jwks):
        return
    try:
        data: Any = json.loads(jwks)
    except ValueError:
        return
    keys = data.get("keys") if isinstance(data, dict) else None
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, dict):
            yield from (name for name in _PRIVATE_MEMBERS if key.get(name))
