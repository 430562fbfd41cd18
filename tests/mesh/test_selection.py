"""How sure is it that no pods and machines carry the labels of a selector?"""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from meshlint.mesh.selection import nothing_selected
from tests.support import mesh_of

COMPLETE = Settings(complete=True)
GROUP = """\
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: ledger, namespace: shop, labels: {team: books}}
spec:
  metadata: {labels: {app: ledger}}
  template: {serviceAccount: ledger, labels: {version: v1}}
"""
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ledger, namespace: shop, labels: {team: books}}
spec: {address: 10.0.0.1, labels: {app: ledger}}
"""
DATABASE = "apiVersion: db.example.com/v1\nkind: Database\nmetadata: {name: main, namespace: shop}\n"


@pytest.mark.parametrize(
    ("texts", "selector", "namespace", "expected"),
    [
        ((), {"app": "ledger"}, "shop", "high"),
        ((GROUP,), {"app": "ledger"}, "shop", None),
        ((GROUP,), {"app": "ledger", "version": "v1"}, None, None),
        ((GROUP,), {"app": "ledger"}, "pay", "high"),
        ((GROUP,), {"app": "stock"}, "shop", "high"),
        ((GROUP,), {"team": "books"}, "shop", "high"),  # a label of the group, not of its machines
        ((ENTRY,), {"app": "ledger", "team": "books"}, "shop", None),
        ((ENTRY,), {"app": "ledger", "version": "v1"}, "shop", "high"),
        ((DATABASE,), {"db.example.com/name": "main"}, "shop", None),
        ((DATABASE,), {"example.com/cluster": "main"}, "shop", None),
        ((DATABASE,), {"example.org/cluster": "main"}, "shop", "high"),
        ((DATABASE,), {"app.kubernetes.io/instance": "main"}, "shop", "high"),
    ],
)
def test_what_makes_pods_or_joins_by_itself(
    texts: tuple[str, ...], selector: dict[str, str], namespace: str | None, expected: str | None
) -> None:
    assert nothing_selected(mesh_of(*texts, settings=COMPLETE), selector, namespace) == expected
