"""Which tokens a RequestAuthentication accepts, and what is wrong with its rules (spec security 4.2, 4.3)."""

from __future__ import annotations

import pytest

from meshlint.mesh.authn import JwtRule, host_of, in_cluster
from tests.support import mesh_of


def rule(fields: str) -> JwtRule:
    text = f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt, namespace: app}}
spec:
  jwtRules: [{{{fields}}}]
"""
    (authentication,) = mesh_of(text).authn.all
    return authentication.rules[0]


HTTPS = "jwksUri: 'https://idp/keys'"
DEFAULT = frozenset({"header authorization", "param access_token"})

VALIDITY = [
    pytest.param("audiences: [a]", "neither issuer nor jwksUri", id="neither"),
    pytest.param(HTTPS, "", id="any issuer"),
    pytest.param(f"issuer: '', {HTTPS}", "the issuer is empty", id="empty issuer"),
    pytest.param(f"issuer: a, {HTTPS}, jwks: '{{}}'", "exclude each other", id="two sources"),
    pytest.param("issuer: 'https://idp'", "", id="discovery"),
    pytest.param("issuer: idp@example.com", "no URL to discover", id="no discovery"),
    pytest.param("issuer: idp@example.com, jwks: '{}'", "", id="inline keys"),
    pytest.param("issuer: a, jwksUri: 'ftp://a'", "neither http nor https", id="scheme"),
    pytest.param("issuer: a, jwksUri: 'http://a'", "", id="http is accepted"),
    pytest.param("issuer: '${ISSUER}'", "", id="template"),
    pytest.param("issuer: a, jwksUri: '{{ .Values.keys }}'", "", id="template of the address"),
]


@pytest.mark.parametrize(("fields", "problem"), VALIDITY)
def test_validity(fields: str, problem: str) -> None:
    found = rule(fields).problem
    assert (found is not None) is bool(problem)
    assert found is None or problem in found[0]


LOCATIONS = [
    pytest.param("issuer: a", DEFAULT, DEFAULT, id="default"),
    pytest.param("issuer: a, forwardOriginalToken: true", DEFAULT, frozenset(), id="forwarded"),
    pytest.param(
        "issuer: a, fromHeaders: [{name: X-Token}]",
        frozenset({"header x-token"}),
        frozenset({"header x-token"}),
        id="header",
    ),
    pytest.param(
        "issuer: a, fromCookies: [t], fromParams: [p]",
        frozenset({"cookie t", "param p"}),
        frozenset({"param p"}),
        id="cookies stay",
    ),
]


@pytest.mark.parametrize(("fields", "locations", "strips"), LOCATIONS)
def test_locations(fields: str, locations: frozenset[str], strips: frozenset[str]) -> None:
    found = rule(fields)
    assert found.locations == locations
    assert found.strips == strips


@pytest.mark.parametrize(
    ("jwks", "members"),
    [
        ('{"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}]}', ()),
        ('{"keys": [{"kty": "RSA", "n": "x", "d": "y", "p": "z"}]}', ("d", "p")),
        ('{"keys": [{"kty": "oct", "k": "x"}]}', ("k",)),
        ("not json", ()),
        ("[]", ()),
        ("${JWKS}", ()),
    ],
)
def test_private_members(jwks: str, members: tuple[str, ...]) -> None:
    assert rule(f"issuer: a, jwks: '{jwks}'").private_members == members


@pytest.mark.parametrize(
    ("url", "host", "inside"),
    [
        ("http://dex.auth.svc.cluster.local:5556/keys", "dex.auth.svc.cluster.local", True),
        ("http://dex:5556/keys", "dex", True),
        ("http://dex.auth.svc/keys", "dex.auth.svc", True),
        ("https://idp.example.com/keys", "idp.example.com", False),
        ("http://[", "", True),
    ],
)
def test_hosts(url: str, host: str, inside: bool) -> None:
    assert host_of(url) == host
    assert in_cluster(host) is inside
