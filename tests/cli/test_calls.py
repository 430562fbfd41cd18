"""`meshlint inspect --calls`: whole outputs, and what it may cost."""

# ruff: noqa: E501 - lines of output are as long as they are

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from meshlint.cli.calls import calls_of
from meshlint.mesh.scope import Settings
from tests.cli.support import write
from tests.support import mesh_of

NAMESPACES = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: monitoring, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: legacy}
"""
STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec:
  mtls: {mode: STRICT}
"""


def workload(name: str, namespace: str = "shop", service: str = "") -> str:
    return dedent(
        f"""\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {name}, namespace: {namespace}}}
        spec:
          template:
            metadata: {{labels: {{app: {name}}}}}
            spec:
              serviceAccountName: {name}
              containers: [{{name: app, image: app, ports: [{{containerPort: 8080}}]}}]
        """
    ) + (service and dedent(
        f"""\
        ---
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}, namespace: {namespace}{service}}}
        spec:
          selector: {{app: {name}}}
          ports: [{{name: http, port: 80, targetPort: 8080}}]
        """
    ))  # fmt: skip


ORDERS = workload("orders", service=" ")
ALLOW = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - from:
        - source: {principals: [cluster.local/ns/shop/sa/web, cluster.local/ns/shop/sa/gone]}
    - from:
        - source: {namespaces: [monitoring]}
      to:
        - operation: {methods: [GET], paths: [/metrics]}
"""


def test_accounts_namespaces_and_the_rest(call, folder):
    write(
        folder, namespaces=NAMESPACES, strict=STRICT, orders=ORDERS, allow=ALLOW, web=workload("web"),
        cart=workload("cart"), prometheus=workload("prometheus", "monitoring"), old=workload("old", "legacy"),
    )  # fmt: skip
    done = call("inspect", "--calls", "--complete")
    assert done.code == 0
    assert done.out == dedent(
        """\
        Service shop/orders  orders.shop.svc.cluster.local  orders.yaml:13
          port 80 http -> 8080 of Deployment shop/orders
            allowed   Deployment shop/web  (AuthorizationPolicy shop/orders; allow.yaml:7)
            in part   namespace monitoring (Deployment monitoring/prometheus)  (methods GET, paths /metrics; AuthorizationPolicy shop/orders; allow.yaml:9)
            denied    all others in the mesh  (no rule of AuthorizationPolicy shop/orders matches; allow.yaml:6)
            denied    callers without mutual TLS (Deployment legacy/old)  (takes mutual TLS only; strict.yaml:5)

        """
    )


def test_json(call, folder):
    write(folder, namespaces=NAMESPACES, strict=STRICT, orders=ORDERS, allow=ALLOW, web=workload("web"))
    document = json.loads(call("inspect", "--calls", "--complete", "--format", "json").out)
    (service,) = document["services"]
    (target,) = service["ports"][0]["targets"]
    first = target["calls"][0]
    assert first == {
        "callers": [
            {
                "kind": "accounts", "names": ["shop/web", "shop/gone"], "more": 0,
                "workloads": [
                    {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"}
                ],
                "count": 1,
            }
        ],
        "access": {
            "state": "known", "value": "allowed", "certain": True,
            "reason": "AuthorizationPolicy shop/orders",
            "because": [{"file": "allow.yaml", "line": 7, "column": 7}],
        },
        "requests": "",
    }  # fmt: skip
    assert [one["access"]["value"] for one in target["calls"]] == ["allowed", "in part", "denied", "denied"]
    assert (service["exported_to"], service["unseen"]) == (None, [])


def test_what_the_input_does_not_show(call, folder):
    write(folder, orders=ORDERS, web=workload("web"))
    assert call("inspect", "--calls").out == dedent(
        """\
        Service shop/orders  orders.shop.svc.cluster.local  orders.yaml:13
          port 80 http -> 8080 of Deployment shop/orders
            unknown   everybody  (the namespace shop is not in the input)

        """
    )


def test_policies_may_exist_elsewhere(call, folder):
    write(folder, namespaces=NAMESPACES, orders=ORDERS, web=workload("web"))
    lines = call("inspect", "--calls").out.splitlines()
    assert lines[2].startswith(
        "    unknown   everybody in the mesh  (no AuthorizationPolicy of shop and istio-system"
    )


def test_pods_that_may_be_in_the_mesh(call, folder):
    write(
        folder, namespaces=NAMESPACES, strict=STRICT, orders=ORDERS, allow=ALLOW,
        other=workload("other", "elsewhere"),
    )  # fmt: skip
    lines = call("inspect", "--calls").out.splitlines()
    assert lines[2:6] == [
        "    allowed*  service accounts shop/web, shop/gone, which no pod of the input has  (AuthorizationPolicy shop/orders; allow.yaml:7)",
        "    in part*  namespace monitoring  (methods GET, paths /metrics; AuthorizationPolicy shop/orders; allow.yaml:9)",
        "    denied*   all others in the mesh; Deployment elsewhere/other, which may be in the mesh or not  (no rule of AuthorizationPolicy shop/orders matches; allow.yaml:6)",
        "    denied*   callers without mutual TLS  (takes mutual TLS only; strict.yaml:5)",
    ]
    assert lines[-1] == "* as far as the input shows: objects outside of it may decide otherwise"


def test_sidecars_and_exports(call, folder):
    sidecars = "---\n".join(
        dedent(
            f"""\
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {{name: default, namespace: {namespace}}}
            spec:
              egress: [{{hosts: ["./*", "istio-system/*"]}}]
            """
        )
        for namespace in ("monitoring", "legacy", "shop")
    )
    exported = workload("orders", service=", annotations: {networking.istio.io/exportTo: 'shop,monitoring'}")
    write(folder, namespaces=NAMESPACES, orders=exported, sidecars=sidecars)
    assert call("inspect", "--calls", "--complete").out == dedent(
        """\
        Service shop/orders  orders.shop.svc.cluster.local  orders.yaml:13
          exported to monitoring, shop
          port 80 http -> 8080 of Deployment shop/orders
            allowed   everybody  (no policy attaches)
          unseen by the pods of Sidecar monitoring/default and 1 more with the same hosts  (sidecars.yaml:3)

        """
    )


def test_many_sidecars_are_counted(call, folder):
    """Two in the namespace and two elsewhere import the service; of those that do not a few are listed."""
    hosts = ["./orders.shop.svc.cluster.local", "*/*.shop.svc.cluster.local"]
    hosts += [f"./other-{number}.shop.svc.cluster.local" for number in range(9)]
    sidecars = "---\n".join(
        dedent(
            f"""\
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {{name: s-{number}, namespace: {namespace}}}
            spec:
              egress: [{{hosts: ["{host.replace("./", "shop/")}"]}}]
            """
        )
        for namespace in ("shop", "legacy")
        for number, host in enumerate(hosts)
    )
    write(folder, namespaces=NAMESPACES, orders=ORDERS, sidecars=sidecars)
    document = json.loads(call("inspect", "--calls", "--complete", "--format", "json").out)
    (service,) = document["services"]
    shown = [(one["sidecar"]["name"], one["more"]) for one in service["unseen"]]
    assert shown == [(f"s-{number}", 0) for number in range(2, 10)]
    assert service["unseen_more"] == 1 + 9
    assert "  unseen by the pods of 10 more Sidecars" in call("inspect", "--calls").out.splitlines()


def test_a_destination_rule_that_sends_plain_text(call, folder):
    rule = dedent(
        """\
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: orders, namespace: monitoring}
        spec:
          host: orders.shop.svc.cluster.local
          trafficPolicy: {tls: {mode: DISABLE}}
        """
    )
    write(
        folder, namespaces=NAMESPACES, strict=STRICT, orders=ORDERS, rule=rule,
        prometheus=workload("prometheus", "monitoring"),
    )  # fmt: skip
    assert call("inspect", "--calls", "--complete").out == dedent(
        """\
        Service shop/orders  orders.shop.svc.cluster.local  orders.yaml:13
          port 80 http -> 8080 of Deployment shop/orders
            denied    namespace monitoring (Deployment monitoring/prometheus)  (clients send plain text, which the port does not take; rule.yaml:6, strict.yaml:5)
            allowed   all others in the mesh  (no policy attaches)
            denied    callers without mutual TLS  (takes mutual TLS only; strict.yaml:5)

        """
    )


def test_a_service_without_pods(call, folder):
    write(folder, orders=ORDERS[ORDERS.index("---") + 4 :])
    assert "  port 80 http: unknown, its pods are not in the input\n" in call("inspect", "--calls").out


def test_namespace(call, folder):
    write(folder, orders=ORDERS)
    assert call("inspect", "--calls", "-n", "other").out == ""


@pytest.mark.parametrize("count", [40])
def test_the_answers_do_not_grow_with_the_number_of_workloads(count):
    """What a port costs hangs on what its policies mention, not on how many pods there are."""
    texts = [NAMESPACES, STRICT, ORDERS, ALLOW, *(workload(f"w{n}") for n in range(count))]
    mesh = mesh_of(*texts, settings=Settings(complete=True))
    (service,) = calls_of(mesh).services
    (target,) = service.ports[0].targets
    assert len(target.calls) == 4
    assert sum(len(callers.workloads) for calls in target.calls for callers in calls.callers) < 10


WAYPOINT = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: "", name: orders}]
  rules:
    - from:
        - source: {principals: [cluster.local/ns/shop/sa/web]}
      to:
        - operation: {methods: [GET]}
"""


def test_policies_of_a_waypoint_tell_callers_apart(call, folder):
    write(folder, mesh=WAYPOINT, orders=ORDERS, web=workload("web"), cart=workload("cart"))
    assert call("inspect", "--calls", "--complete").out == dedent(
        """\
        Service shop/orders  orders.shop.svc.cluster.local  orders.yaml:13
          port 80 http -> 8080 of Deployment shop/orders
            in part   Deployment shop/web  (methods GET; AuthorizationPolicy shop/orders; mesh.yaml:18)
            denied    all others in the mesh  (no rule of AuthorizationPolicy shop/orders matches; mesh.yaml:17)
            allowed   callers without mutual TLS  (no policy attaches)

        """
    )


CUSTOM = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  action: CUSTOM
  provider: {name: opa}
  rules: [{to: [{operation: {paths: [/pay/*]}}]}]
"""


def test_an_external_authorizer_for_some_requests(call, folder):
    write(folder, namespaces=NAMESPACES, orders=ORDERS, custom=CUSTOM)
    out = call("inspect", "--calls", "--complete").out
    assert "in part   everybody  (paths /pay/* only if the external authorizer allows it; Auth" in out


def test_a_policy_whose_action_is_a_template(call, folder):
    write(folder, namespaces=NAMESPACES, orders=ORDERS, custom=CUSTOM.replace("CUSTOM", "${ACTION}"))
    done = call("inspect", "--calls", "--complete")
    assert done.code == 0
    assert "in part" in done.out or "unknown" in done.out


TWO_PORTS = """\
apiVersion: v1
kind: Service
metadata: {name: all, namespace: shop}
spec:
  selector: {tier: back}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: http-admin, port: 90, targetPort: 8080}]
"""


def test_what_fares_alike_is_said_once_and_others_come_last(call, folder):
    pods = [workload(name).replace("{app: ", "{tier: back, app: ") for name in ("a", "b")]
    policy = ALLOW.replace("name: orders", "name: all").replace("app: orders", "tier: back")
    for_namespace = policy[: policy.index("    - from:")] + policy[policy.rindex("    - from:") :]
    write(folder, namespaces=NAMESPACES, a=pods[0], b=pods[1], service=TWO_PORTS, allow=for_namespace)
    assert call("inspect", "--calls", "--complete").out == dedent(
        """\
        Service shop/all  all.shop.svc.cluster.local  service.yaml:3
          port 80 http -> 8080 of Deployment shop/a, Deployment shop/b
          port 90 http-admin -> 8080 of Deployment shop/a, Deployment shop/b
            in part   namespace monitoring  (methods GET, paths /metrics; AuthorizationPolicy shop/all; allow.yaml:7)
            denied    all others in the mesh; callers without mutual TLS  (no rule of AuthorizationPolicy shop/all matches; allow.yaml:6)

        """
    )


@pytest.mark.parametrize("option", ["--name=orders", "--name=shop/orders", "--name=ord*", "--name=shop/*s"])
def test_only_what_is_asked_for(call, folder, option):
    write(folder, orders=ORDERS, web=workload("web", service=" "))
    out = call("inspect", "--calls", option).out
    assert ("Service shop/orders" in out, "Service shop/web" in out) == (True, False)
    out = call("inspect", option).out
    assert ("Deployment shop/orders" in out, "Deployment shop/web" in out) == (True, False)


def test_nothing_is_what_is_asked_for(call, folder):
    write(folder, orders=ORDERS)
    done = call("inspect", "--calls", "--name", "odrers", "-n", "shop")
    assert (done.code, done.out) == (0, "")
    assert done.err == "meshlint: no Service named odrers in the namespace shop is in the input\n"
