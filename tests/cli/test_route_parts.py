"""`meshlint test`: copies, parts of the requests that reach nobody, names that nothing has, many tests."""

# ruff: noqa: E501 - lines of output are as long as they are

from __future__ import annotations

import jsonschema
import pytest
import yaml

from meshlint.meshtest.files import schema
from tests.cli.support import write
from tests.cli.test_route_tests import MESH, case, suite

PARTS = """\
---
apiVersion: v1
kind: Service
metadata: {name: audit, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: audit, namespace: shop}
spec: {host: audit, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: audit, namespace: shop}
spec:
  hosts: [audit]
  http:
    - match: [{uri: {prefix: /copied}}]
      route: [{destination: {host: audit}}]
      mirrors:
        - {destination: {host: web, port: {number: 80}}, percentage: {value: 10}}
        - {destination: {host: audit, subset: v1}}
    - match: [{uri: {prefix: /one}}]
      route: [{destination: {host: audit}}]
      mirror: {host: web}
    - match: [{uri: {prefix: /half}}]
      route: [{destination: {host: audit}, weight: 50}, {destination: {host: gone}, weight: 50}]
    - match: [{uri: {prefix: /all}}]
      route: [{destination: {host: gone}}]
"""


@pytest.fixture
def parts(call, folder):
    def parts(expect: str, path: str, *options: str):
        write(folder, mesh=MESH + PARTS)
        (folder / ".meshlint.yaml").write_text("complete: true\n")
        text = suite(case(expect, f"path: {path}")).replace("host: web, source", "host: audit, source")
        jsonschema.validate(yaml.safe_load(text), schema())
        (folder / "web.meshtest.yaml").write_text(text)
        return call("test", "web.meshtest.yaml", *options)

    return parts


@pytest.mark.parametrize(
    ("expect", "path"),
    [
        ("mirror: [{host: audit, subset: v1}, {host: web, port: 80, percent: 10}]", "/copied"),
        ("mirror: web", "/one"),
        ("mirror: 'web:80'", "/one"),
        ("mirror: {host: web.shop, percent: 100}", "/one"),
        ("mirror: none", "/half"),
        ("destination: {host: audit, weight: 50}, directResponse: {status: 503, percent: 50}", "/half"),
        ("destinations: [{host: audit, weight: 50}]", "/half"),
        ("directResponse: {status: 503}, access: denied", "/all"),
        ("notFound: true, access: denied", "/nowhere"),
    ],
)
def test_parts_that_pass(parts, expect, path):
    assert parts(expect, path).out == "1 route test passes, 1 file\n"


@pytest.mark.parametrize(
    ("expect", "path", "lines"),
    [
        (
            "mirror: web", "/copied",
            "- mirror: web  (web.meshtest.yaml:4)\n  + mirror: host web.shop.svc.cluster.local, port 80, percent 10; "
            "host audit.shop.svc.cluster.local, port 80, subset v1  (mesh.yaml:97, mesh.yaml:98)",
        ),
        ("mirror: {host: web, percent: 50}", "/one", "+ mirror: host web.shop.svc.cluster.local, port 80  ("),
        (
            "destination: audit", "/half",
            "+ destination: host audit.shop.svc.cluster.local, port 80, weight 50; "
            "nowhere, status 503, weight 50: gone.shop.svc.cluster.local does not exist  (",
        ),
        (
            "directResponse: none", "/half",
            "+ directResponse: status 503, percent 50 (gone.shop.svc.cluster.local does not exist)  (",
        ),
        (
            "access: allowed", "/all",
            "+ access: denied (it reaches nobody: gone.shop.svc.cluster.local does not exist)  (",
        ),
        ("destination: adit", "/one", "- destination: adit (no host 'adit' is in the manifests; did you mean 'audit'?)  ("),
        ("destination: {host: audit, subset: v11}", "/one", "(no subset 'v11' is in the manifests; did you mean 'v1'?)  ("),
        ("destinations: [{host: audit}, {host: xyz}]", "/one", "host xyz (no host 'xyz' is in the manifests)  ("),
        ("mirror: wep.shop", "/one", "- mirror: wep.shop (no host 'wep.shop' is in the manifests; did you mean 'web.shop'?)"),
        ("destination: web", "/one", "- destination: web  ("),
    ],
)  # fmt: skip
def test_parts_that_fail(parts, expect, path, lines):
    done = parts(expect, path)
    assert done.code == 1
    assert lines in done.out


def test_whether_a_destination_exists_may_be_open(call, folder):
    write(folder, mesh=MESH.replace("- destination: {host: web}", "- destination: {host: gone}"))
    tests = (
        ("destination: gone, directResponse: none", 0),
        ("destination: web, directResponse: {status: 503}", 1),
    )
    for expect, code in tests:
        (folder / "web.meshtest.yaml").write_text(suite(case(expect, "path: /api/")))
        done = call("test")
        assert done.code == code
    assert (
        "+ destination: host gone.shop.svc.cluster.local "
        "(whether gone.shop.svc.cluster.local exists is not in the input)"
    ) in done.out
    open_ = "(whether gone.shop.svc.cluster.local exists is not in the input)"
    assert f"+ directResponse: none {open_}" in done.out


def test_the_gateway_of_kyma(call, folder):
    """It is in the cluster and in no repository, so it has no line."""
    route = MESH.replace(
        "  hosts: [web]", "  hosts: [web.example.com]\n  gateways: [kyma-system/kyma-gateway]"
    )
    write(folder, mesh=route)
    (folder / ".meshlint.yaml").write_text("platform: kyma\n")
    (folder / "web.meshtest.yaml").write_text(
        suite(
            *(
                f"  - name: a\n    request: {{host: web.example.com, path: {path}, gateway: kyma-system/kyma-gateway}}\n"
                f"    expect: {{{expect}}}\n"
                for path, expect in (
                    ("/api/", "rule: api, destination: web, access: denied"),
                    ("/status", "notFound: true, redirect: none"),
                    ("'/'", "rule: some"),
                )
            )
        )
    )
    done = call("test")
    assert done.out.endswith("1 of 3 route tests fails, 1 file\n")
    assert "<" not in done.out


@pytest.mark.parametrize(
    ("gateway", "host", "expect", "line"),
    [
        ("kyma-system/kyma-gatway", "a.test", "rule: a", "did you mean 'kyma-system/kyma-gateway'?"),
        ("kyma-system/kyma-gateway", "a.test", "destination: wep", "no host 'wep' is in the manifests; did you mean 'web'?"),
        ("kyma-system/kyma-gateway", "a.test", "destination: web", "- destination: web  ("),
    ],
)  # fmt: skip
def test_slips_at_the_gateway_of_kyma(call, folder, gateway, host, expect, line):
    write(folder, mesh=MESH)
    (folder / ".meshlint.yaml").write_text("platform: kyma\n")
    request = f"{{host: {host}, gateway: {gateway}}}"
    (folder / "web.meshtest.yaml").write_text(
        suite(f"  - name: a\n    request: {request}\n    expect: {{{expect}}}\n")
    )
    assert line in call("test").out


def test_many_tests_ask_the_same_once(call, folder, monkeypatch):
    """What does not hang on the request is found out for the first test alone."""
    from meshlint.mesh.access import Accesses
    from meshlint.mesh.matching import Matching
    from meshlint.mesh.shares import Shares

    counted: dict[str, int] = {}

    def count(owner: type, name: str) -> None:
        asked = getattr(owner, name)

        def counting(*arguments, **more):
            counted[name] = counted.get(name, 0) + 1
            return asked(*arguments, **more)

        monkeypatch.setattr(owner, name, counting)

    for owner, name in ((Matching, "_owners_in_mesh"), (Shares, "_split"), (Accesses, "sent")):
        count(owner, name)
    write(folder, mesh=MESH)
    tests = (case("destination: web, access: denied", f"path: /api/{n}") for n in range(50))
    (folder / "web.meshtest.yaml").write_text(suite(*tests))
    done = call("test")
    assert done.code == 0
    assert counted == {"_owners_in_mesh": 1, "_split": 1, "sent": 1}
