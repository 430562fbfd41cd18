"""Are exactly the mistakes of the shop in examples/ found, each on its line?"""

from __future__ import annotations

import json
import re

from tests.house.checkout import BIN, ROOT, run

EXPECTED = {
    ("injection-conflicting-labels", "mesh/namespaces.yaml", 19),
    ("injection-missing", "mesh/namespaces.yaml", 24),
    ("retry-per-try-vs-timeout", "catalog/traffic.yaml", 13),
    ("retry-on-invalid", "catalog/traffic.yaml", 14),
    ("mtls-dr-disable-vs-strict", "catalog/traffic.yaml", 31),
    ("mtls-permissive", "cart/peer-authentication.yaml", 12),
    ("jwt-missing", "cart/traffic.yaml", 14),
    ("timeout-missing", "cart/traffic.yaml", 17),
    ("jwt-missing-authz", "cart/traffic.yaml", 32),
    ("jwt-http-jwks", "cart/traffic.yaml", 34),
    ("mtls-disabled", "payments/policies.yaml", 22),
    ("authz-identity-needs-mtls", "payments/policies.yaml", 37),
    ("mtls-dr-mutual-vs-disable", "payments/traffic.yaml", 10),
    ("outlier-deprecated", "payments/traffic.yaml", 12),
    ("retry-unsafe-method", "payments/traffic.yaml", 31),
    ("injection-label-on-wrong-object", "reports/nightly.yaml", 8),
}


def test_exactly_the_mistakes_of_the_shop_are_found() -> None:
    report = json.loads(run(BIN / "meshlint", "examples", "--output", "json", cwd=ROOT, expect=1).stdout)
    found = {
        (f["rule"], f["location"]["file"].removeprefix("examples/"), f["location"]["start"]["line"])
        for f in report["findings"]
    }
    assert found == EXPECTED
    assert report["errors"] == []


def test_the_page_of_the_shop_names_every_rule_that_finds_something() -> None:
    page = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", page)) == {rule for rule, _, _ in EXPECTED}


def test_what_is_called_right_has_no_finding() -> None:
    assert not [file for _, file, _ in EXPECTED if file.startswith("orders/")]
