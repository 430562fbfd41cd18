"""Does one value of a field of an AuthorizationPolicy match a request? (spec security 5.4)

Three-valued: None where the request leaves open what the value asks for, or the value is a template.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from meshlint.mesh.claims import steps_of, values_of
from meshlint.mesh.facts import all_of
from meshlint.mesh.strings import glob, matches_string, matches_template
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.authz import Peer, Request, Token

EVERY_ADDRESS: Final = frozenset(("0.0.0.0/0", "::/0"))
_templated = lru_cache(maxsize=8192)(is_placeholder)


def value_matches(name: str, value: str, request: Request, namespace: str) -> bool | None:
    """Does a value of a field match? None where the request leaves it open; `namespace` is the policy's."""
    if _templated(value):
        return None
    match name:
        case "requestPrincipals":
            return _request_principal(value, request.token)
        case "principals":
            return _principal(value, request)
        case "namespaces" | "serviceAccounts" | "trustDomains":
            return _peer_part(name, value, request.peer, namespace)
        case "ipBlocks" | "remoteIpBlocks":
            return True if value in EVERY_ADDRESS else None
        case "ports":
            return None if request.port is None else value == str(request.port)
        case "hosts":
            return None if request.host is None else matches_string(value.lower(), request.host.lower())
        case "methods":
            return None if request.method is None else matches_string(value, request.method)
        case "paths":
            return None if request.path is None else matches_path(value, request.path)
    return _condition(name, value, request)


def matches_path(value: str, path: str) -> bool:
    """A value of `paths` against a path without query string."""
    return matches_template(value, path) if "{" in value else matches_string(value, path)


def _condition(key: str, value: str, request: Request) -> bool | None:
    token = request.token
    if key.startswith("request.headers[") and request.headers is not None:
        found = request.headers.get(key[len("request.headers[") : -1].lower())
        return False if found is None else matches_string(value, found)
    if not key.startswith("request.auth."):
        return None
    if token is None:
        return False
    if key == "request.auth.audiences" and token.audiences:
        return any(matches_string(value, audience) for audience in token.audiences)
    if key == "request.auth.claims[iss]" and token.issuer is not None:
        return matches_string(value, token.issuer)
    if token.claims is not None and key.startswith("request.auth.claims["):
        return any(matches_string(value, found) for found in values_of(token.claims, steps_of(key)))
    return None


def request_principal_parts(value: str) -> tuple[str, str]:
    """Patterns of `iss` and `sub` that a value of requestPrincipals asks for (spec security 4.4).

    A part `*` is "present"; one starting or ending with `*` is a suffix or a prefix. A literal that
    no token can hold, such as an empty `sub`, stays as it is.
    """
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        return "*", "*"
    if value.startswith("*"):
        return (issuer, "=" + subject) if slash else ("*", value)
    if value.endswith("*"):
        return ("=" + issuer, subject) if slash else (value, "*")
    return ("=" + issuer, "=" + subject) if slash else ("=" + value, "=")


def never_a_request_principal(value: str) -> bool:
    """Can no token have this request principal?"""
    issuer, subject = request_principal_parts(value)
    return subject in ("=", "=*") or issuer in ("=https:/", "=http:/", "=https:", "=http:", "=")


def _request_principal(value: str, token: Token | None) -> bool | None:
    if token is None or never_a_request_principal(value):
        return False
    issuer, subject = request_principal_parts(value)
    return all_of(_part(issuer, token.issuer), _part(subject, token.subject))


def _part(pattern: str, text: str | None) -> bool | None:
    if pattern == "*":
        return True
    if text is None:
        return None
    return text == pattern[1:] if pattern.startswith("=") else matches_string(pattern, text)


def _principal(value: str, request: Request) -> bool | None:
    peer = request.peer
    if peer.mtls is False or value.startswith("spiffe://"):
        return False
    if value == "*":
        return peer.mtls
    parts = value.split("/")
    literal = "*" not in (value[:1], value[-1:])
    if literal and (len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa"):
        return False
    known = (peer.trust_domain, peer.namespace, peer.service_account)
    if literal and any(
        k is not None and k != p for k, p in zip(known[1:], (parts[2], parts[4]), strict=True)
    ):
        return False
    if None in known:
        return None
    rest = f"/ns/{peer.namespace}/sa/{peer.service_account}"
    matched = any(matches_string(v, f"{peer.trust_domain}{rest}") for v in _aliases(value, request))
    return all_of(peer.mtls, matched)


def _aliases(value: str, request: Request) -> Iterable[str]:
    """A principal under the mesh's trust domains, if its own is one of them."""
    domain, slash, rest = value.partition("/")
    own = request.trust_domains | {"cluster.local"}
    if slash and domain != "*" and domain.lstrip("*") in own and value.count("/") == 4:
        return [f"{d}/{rest}" for d in own]
    return [value]


def _peer_part(name: str, value: str, peer: Peer, policy_namespace: str) -> bool | None:
    if peer.mtls is False:
        return False
    if name == "namespaces":
        matched = None if peer.namespace is None else glob(value, peer.namespace)
    elif name == "trustDomains":
        matched = None if peer.trust_domain is None else matches_string(value, peer.trust_domain)
    else:
        namespace, slash, account = value.rpartition("/")
        wanted = (namespace if slash else policy_namespace, account)
        known = (peer.namespace, peer.service_account)
        matched = all_of(*(None if k is None else k == w for k, w in zip(known, wanted, strict=True)))
    return all_of(peer.mtls, matched)
