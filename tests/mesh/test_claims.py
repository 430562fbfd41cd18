"""Claims of tokens by name: in brackets, after dots, nested, lists, and split at spaces."""

from __future__ import annotations

import pytest

from meshlint.mesh.claims import claims_of, steps_of, values_of

CLAIMS = claims_of(
    {"groups": ["a", "b"], "scope": "read write", "tenant": {"id": "7", "tags": ["x"]}, "name": "a b"}
)
ROWS = (
    ("request.auth.claims[groups]", ("a", "b")),
    ("@request.auth.claims.groups", ("a", "b")),
    ("request.auth.claims[scope]", ("read", "write")),
    ("request.auth.claims[name]", ("a b",)),
    ("request.auth.claims[tenant][id]", ("7",)),
    ("@request.auth.claims.tenant.tags", ("x",)),
    ("@request.auth.claims[tenant][tags]", ("x",)),
    ("request.auth.claims[tenant]", ()),
    ("request.auth.claims[other]", ()),
)


@pytest.mark.parametrize(("name", "values"), ROWS)
def test_row(name, values):
    assert values_of(CLAIMS, steps_of(name)) == values
