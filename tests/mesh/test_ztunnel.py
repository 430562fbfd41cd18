"""What ztunnel enforces: the table of spec security 5.9."""

from __future__ import annotations

import pytest

from meshlint.mesh.authz import Peer, Request, decide
from meshlint.mesh.ztunnel import at_ztunnel
from tests.support import mesh_of

X = Peer(True, "cluster.local", "web", "x")
OTHER = Peer(True, "cluster.local", "web", "other")
FROM_X = "from: [{source: {principals: [cluster.local/ns/web/sa/x]}}]"
GET = "to: [{operation: {methods: [GET]}}]"
ADMIN = "to: [{operation: {paths: [/admin]}}]"


def policy(spec: str, extra: str = ""):
    text = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: p, namespace: app{extra}}}
spec: {spec}
"""
    (found,) = mesh_of(text).authz.policies
    return at_ztunnel(found)


def passes(found, peer: Peer, port: int) -> bool:
    request = Request(port=port, peer=peer, http=False)
    return decide([found] if found is not None else [], request).outcome.value == "allowed"


# (spec, x on 8080, somebody else on 8080, x on 9090)
ROWS = [
    pytest.param(f"{{rules: [{{{FROM_X}}}]}}", True, False, True, id="principals as written"),
    pytest.param(f"{{rules: [{{{GET}}}]}}", False, False, False, id="methods deny all"),
    pytest.param(f"{{rules: [{{{FROM_X}}}, {{{GET}}}]}}", True, False, True, id="only x"),
    pytest.param(f"{{action: DENY, rules: [{{{ADMIN}}}]}}", True, True, True, id="deny paths has no effect"),
    pytest.param(
        '{action: DENY, rules: [{to: [{operation: {ports: ["8080"], paths: [/admin]}}]}]}',
        False, False, True, id="ports and paths deny the port",
    ),
    pytest.param(
        f"{{action: DENY, rules: [{{{FROM_X}, {ADMIN}}}]}}", True, True, True, id="empty to is dead"
    ),
    pytest.param(
        '{action: DENY, rules: [{to: [{operation: {ports: ["8080"]}}, {operation: {paths: [/admin]}}]}]}',
        False, False, True, id="first alternative kept",
    ),
    pytest.param(
        "{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}",
        True, True, True, id="deny without token has no effect",
    ),
    pytest.param("{}", False, False, False, id="nothing allowed"),
    pytest.param("{action: AUDIT, rules: [{}]}", True, True, True, id="audit"),
    pytest.param("{action: CUSTOM, provider: {name: x}, rules: [{}]}", True, True, True, id="custom"),
    pytest.param(
        "{rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}", False, False, False, id="headers"
    ),
    pytest.param(
        '{rules: [{to: [{operation: {ports: ["9090"]}}]}]}', False, False, True, id="ports are the pod's"
    ),
    pytest.param("{selector: {}, rules: []}", True, True, True, id="empty selector is not enforced"),
    pytest.param(
        "{targetRefs: [{kind: Service, group: '', name: a}], rules: []}", True, True, True, id="target refs"
    ),
    pytest.param("{rules: [{}]}", True, True, True, id="everything"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "x", "other", "elsewhere"), ROWS)
def test_row(spec, x, other, elsewhere):
    found = policy(spec)
    assert (passes(found, X, 8080), passes(found, OTHER, 8080), passes(found, X, 9090)) == (
        x,
        other,
        elsewhere,
    )


def test_a_dry_run_is_not_enforced():
    assert policy("{}", ", annotations: {istio.io/dry-run: 'true'}") is None
