"""`meshlint upgrade`: the report of what changes between two releases, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.support import BAD, RULE, Done, meshlint, write

RETRIES = """\
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http:
    - retries:
        attempts: 3
      route: [{destination: {host: cart}}]
"""
OPERATOR = """\
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {istio-injection: disabled}}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec: {profile: default}
"""


def upgrade(folder: Path, *arguments: str) -> tuple[Done, list[dict[str, Any]]]:
    done = meshlint(*arguments, "--format", "json", ".", cwd=folder)
    return done, json.loads(done.out)["findings"] if done.out else []


def test_only_what_changes(tmp_path):
    """What behaves differently whatever the profile, and what is wrong from now on; not what always was."""
    write(tmp_path, retries=RETRIES, operator=OPERATOR, both=BAD)
    done, findings = upgrade(tmp_path, "upgrade", "--from", "1.23", "--to", "1.27")
    assert [(f["rule"], f["location"]["start"]["line"]) for f in findings] == [
        ("istiooperator-in-cluster", 6),
        ("behaviour-change", 8),
    ]
    assert done.code == 1
    assert "what changes from Istio 1.23 to 1.27" in done.err


def test_changes_alone_are_no_failure(tmp_path):
    write(tmp_path, retries=RETRIES)
    done, findings = upgrade(tmp_path, "upgrade", "--from", "1.23", "--to", "1.24")
    assert [f["rule"] for f in findings] == ["behaviour-change"]
    assert done.code == 0
    assert upgrade(tmp_path, "upgrade", "--from", "1.23", "--to", "1.24", "--fail-on", "info")[0].code == 1


def test_nothing_changes(tmp_path):
    write(tmp_path, retries=RETRIES, both=BAD)
    done, findings = upgrade(tmp_path, "upgrade", "--from", "1.25", "--to", "1.26")
    assert (done.code, findings) == (0, [])
    assert "findings of both releases, 0 of 1.25 only" in done.err


def test_lint_writes_the_same(tmp_path):
    write(tmp_path, retries=RETRIES, both=BAD)
    done, findings = upgrade(tmp_path, "lint", "--upgrade-from", "1.23", "--upgrade-to", "1.24")
    assert [f["rule"] for f in findings] == ["behaviour-change"]
    assert RULE not in done.out


def test_suppressed(tmp_path):
    text = RETRIES.replace("attempts: 3", "attempts: 3 # meshlint: ignore[behaviour-change] we know")
    write(tmp_path, retries=text)
    _, findings = upgrade(tmp_path, "upgrade", "--from", "1.23", "--to", "1.24")
    assert [f["suppressed"]["reason"] for f in findings] == ["we know"]


def test_left_out(tmp_path):
    write(tmp_path, retries=RETRIES)
    _, findings = upgrade(
        tmp_path, "upgrade", "--from", "1.23", "--to", "1.24", "--ignore", "behaviour-change"
    )
    assert findings == []


def test_usage(tmp_path):
    write(tmp_path, retries=RETRIES)
    for arguments, complaint in (
        (("upgrade", "--from", "1.24", "--to", "1.24"), "an upgrade goes to a later release"),
        (("upgrade", "--to", "1.24"), "Missing option '--from'"),
        (("upgrade", "--from", "new", "--to", "1.24"), "'new' is no release"),
        (("lint", "--upgrade-from", "1.23"), "need each other"),
    ):
        done, _ = upgrade(tmp_path, *arguments)
        assert done.code == 2
        assert complaint in done.err
