"""Can Istio read the keys of a RequestAuthentication? (spec schemas 3.3, security 4.3)

Missing and doubled sources of keys, and schemes other than http and https, are those of the rule
jwt-issuer-or-jwks; timeouts are those of timeout-invalid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec
from meshlint.checks.admission.urls import scheme_of, url_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_SECURITY

Options = Mapping[str, Any]

#: kind of a key -> members that it cannot do without
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+=*\Z")


def keys(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_SECURITY, "RequestAuthentication"):
        block = spec(resource)
        for rule in block.blocks("jwtRules") if block is not None else ():
            yield from _address(rule)
            yield from _inline(rule)


def _address(rule: Block) -> Iterator[Draft]:
    text = rule.text("jwksUri")
    if not text or scheme_of(text) not in ("http", "https"):
        return
    problem = url_problem(text)
    if problem:
        yield refused(
            rule.place("jwksUri"),
            f"fetches its keys from {text}, which {problem}",
            "no URL",
            "give the address of the key set, such as https://login.example.com/keys",
        )


def _inline(rule: Block) -> Iterator[Draft]:
    text = rule.text("jwks")
    if not text:
        return
    problem = key_set_problem(text)
    if problem:
        yield refused(
            rule.place("jwks"),
            f"has an inline key set that {problem}",
            "no key set",
            'paste the key set of the issuer as it is: {"keys": [...]}',
        )


def key_set_problem(text: str) -> str:
    """Why a text is no JWK set; '' if it is one. A single key counts as a set."""
    try:
        data = json.loads(text)
    except ValueError:
        return "is not JSON"
    if not isinstance(data, dict):
        return "is no JSON object"
    found = data.get("keys", [data]) or []
    if not isinstance(found, list):
        return "has keys that are no list"
    return next((problem for key in found if (problem := _key_problem(key))), "")


def _key_problem(key: object) -> str:
    if not isinstance(key, dict):
        return "has a key that is no object"
    kind = key.get("kty")
    if not isinstance(kind, str) or not kind:
        return "has a key without kty"
    if kind not in _MEMBERS:
        return f"has a key of the unknown kty {kind}"
    missing = [name for name in _MEMBERS[kind] if not key.get(name)]
    if missing:
        return f"has a key of kty {kind} without {' and '.join(missing)}"
    odd = [name for name in _MEMBERS[kind] if name != "crv" and not _BASE64.match(str(key[name]))]
    return f"has a key whose {' and '.join(odd)} {'is' if len(odd) == 1 else 'are'} not base64" if odd else ""
