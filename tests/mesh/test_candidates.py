"""Long lists of an AuthorizationPolicy: the index leaves out nothing that could match."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

from itertools import product

import pytest

from meshlint.mesh.authz import Peer, Request, Token
from meshlint.mesh.candidates import Candidates
from meshlint.mesh.facts import any_of
from meshlint.mesh.values import value_matches

DOMAINS = ("cluster.local", "old.example.com", "other.example.com")
NAMES = (None, "shop", "pay")
PEERS = [
    Peer(),
    Peer(mtls=False),
    *(Peer(m, *p) for m in (None, True) for p in product((None, *DOMAINS), NAMES, NAMES)),
]
TOKENS = [
    None,
    *(Token(*t) for t in product((None, "https://a.example.com", "https://b.example.com"), (None, "u", "v"))),
    Token("https://a.example.com", None, ("shop",)),
]
PARTS = (
    None,
    "",
    "/",
    "/shop",
    "/Shop/x",
    "/pay/x.html",
    "shop.example.com",
    "SHOP.example.com",
    "GET",
    "shop",
)

REQUESTS = [
    *(Request(peer=peer, trust_domains=frozenset(DOMAINS[:2])) for peer in PEERS),
    *(Request(token=token) for token in TOKENS),
    *(Request(host=part, path=part, method=part) for part in PARTS),
    *(Request(port=port) for port in (None, 80, 8080)),
    *(Request(headers=headers) for headers in (None, {}, {"x": "shop"})),
]

VALUES = {
    "principals": [
        "*", "", "cluster.local/ns/shop/sa/shop", "old.example.com/ns/shop/sa/pay", "other.example.com/ns/pay/sa/pay",
        "spiffe://cluster.local/ns/shop/sa/shop", "cluster.local/ns/shop", "*/ns/shop/sa/pay", "*/sa/pay",
        "*.example.com/ns/shop/sa/shop", "*cluster.local/ns/shop/sa/pay", "cluster.local/ns/shop/*",
        "cluster.local/ns/shop/sa/s*", "old.example.com/ns/pay/sa/*", "*cluster.local/ns/pay/sa/p*", "cluster*", "*shop*",
        "other.example.com/ns/shop/sa/*", "${PRINCIPAL}",
    ],
    "namespaces": ["*", "shop", "pa*", "*ay", "s*p", "*h*", "other", "", "${NAMESPACE}"],
    "serviceAccounts": ["shop", "shop/pay", "pay/pay", "/shop", "other/x", "{{ .account }}"],
    "trustDomains": ["*", "cluster.local", "*.example.com", "old*"],
    "ipBlocks": ["10.0.0.0/8", "0.0.0.0/0", "::/0", "${BLOCK}"],
    "ports": ["80", "8080", "", "${PORT}"],
    "hosts": ["*", "Shop.example.com", "*.example.com", "SHOP*", "sh*com", "${HOST}"],
    "methods": ["*", "GET", "G*", "*T"],
    "paths": ["*", "/shop", "/pay/*", "*.html", "/{*}", "/pay/{**}", "/", "", "{*}"],
    "requestPrincipals": [
        "*", "https://a.example.com/u", "https://a.example.com/*", "https://b.example.com/v", "https://b.example.com/",
        "*/u", "https://*", "plain", "*.example.com/v", "https://b.example.com/pre*", "${TOKEN}",
    ],
    "request.auth.audiences": ["shop", "*", "pay"],
    "request.auth.claims[iss]": ["https://a.example.com", "*", "x"],
    "request.auth.claims[groups]": ["shop", "pay"],
    "request.headers[x]": ["shop", "pay", "*"],
    "connection.sni": ["shop", "pay"],
}  # fmt: skip


@pytest.mark.parametrize("field", VALUES)
def test_index_says_what_all_values_say(field: str) -> None:
    for values in _lists(VALUES[field]):
        candidates = Candidates(field, values)
        for request, namespace in product(REQUESTS, ("shop", "pay")):
            whole = any_of(*(value_matches(field, v, request, namespace) for v in values))
            found = candidates.of(request, namespace)
            assert any_of(*(value_matches(field, v, request, namespace) for v in found)) is whole, (
                values,
                request,
            )


def _lists(values: list[str]) -> list[list[str]]:
    """Each value alone, each pair, all, and all but one."""
    pairs = [[a, b] for a in values for b in values if a != b]
    return [*([v] for v in values), *pairs, values, *([w for w in values if w != v] for v in values)]


def test_thousands_of_literals_are_looked_up() -> None:
    literals = [f"cluster.local/ns/shop/sa/account-{i}" for i in range(2000)]
    candidates = Candidates("principals", [*literals, *(f"*/sa/robot-{i}" for i in range(2000))])
    caller = Peer(True, "cluster.local", "shop", "account-7")
    assert candidates.of(Request(peer=caller), "shop") == ["cluster.local/ns/shop/sa/account-7"]
    assert len(candidates.of(Request(), "shop")) == 2
