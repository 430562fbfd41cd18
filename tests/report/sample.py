"""A report that has everything a format may meet, and the texts that it speaks of."""

from __future__ import annotations

from meshlint.findings import (
    Finding,
    Fix,
    Location,
    Related,
    Report,
    ResourceRef,
    RuleInfo,
    RunError,
    Skipped,
    Suppression,
)

SOURCES = {
    "mesh/pay/peerauth.yaml": """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: api
  namespace: pay
spec:
  mtls:
    mode: PERMISSIVE
  portLevelMtls:
    8080:
      mode: DISABLE
""",
    "mesh/root/peerauth.yaml": """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec:
  mtls:

    mode: STRICT
""",
    "mesh/ü ber/routes.yaml": (
        "spec:\n"
        "\thttp: # 経路\t- 東京: {timeout: 0s}\n"
        "  hosts:\n"
        "  - reviews\n"
        "  - ratings\n"
        f"  note: {'x' * 150} host: nowhere {'y' * 60}\n"
    ),
}


def at(file: str, path: str, start: tuple[int, int], end: tuple[int, int]) -> Location:
    return Location(file, path, *start, *end)


PEER = "mesh/pay/peerauth.yaml"
ROUTES = "mesh/ü ber/routes.yaml"
API = ResourceRef("apps/v1", "Deployment", "pay", "api")

RULES = [
    RuleInfo(
        "mtls-permissive",
        "mtls",
        "Workload accepts plain-text traffic",
        "error",
        "high",
        "default",
        "PERMISSIVE lets clients in that have no identity.\nAnybody in the network can call the pods.\n",
        ("IST0000",),
        ("NIST SC-8",),
        ("https://example.org/mtls?a=1|2",),
        True,
    ),
    RuleInfo("route-timeout", "resilience", "Route has no timeout", "warning", "medium", "default"),
]

FINDINGS = [
    Finding(
        "mtls-permissive",
        "mtls",
        "error",
        "high",
        "Deployment pay/api accepts plain text on port 8080",
        at(PEER, "/spec/mtls/mode", (8, 11), (8, 21)),
        "plain text accepted here",
        "set mode to STRICT once every client has a sidecar",
        API,
        (
            Related(
                "the mesh-wide setting [strict] that it overrides",
                at("mesh/root/peerauth.yaml", "/spec/mtls/mode", (7, 11), (7, 17)),
            ),
            Related(
                "this port even refuses TLS", at(PEER, "/spec/portLevelMtls/8080/mode", (11, 13), (11, 20))
            ),
            Related("the workload", at("apps/api.yaml", "/metadata/name", (4, 9), (4, 12))),
        ),
        ("IST0000",),
        Fix("unsafe", "Require mutual TLS"),
    ),
    Finding(
        "route-timeout",
        "resilience",
        "warning",
        "medium",
        "VirtualService shop/a|b has `timeout: 0s`, <unlimited>; 100% of calls wait, a:b",
        at(ROUTES, "/spec/http/0/timeout", (2, 20), (2, 31)),
        "経路 waits for ever",
        resource=ResourceRef("networking.istio.io/v1", "VirtualService", "shop", "a|b"),
        related=(Related("for these hosts", at(ROUTES, "/spec/hosts", (4, 3), (5, 12))),),
    ),
    Finding(
        "host-unknown",
        "hygiene",
        "info",
        "low",
        "Host nowhere is not known",
        at(ROUTES, "/spec/note", (6, 160), (6, 173)),
    ),
    Finding(
        "yaml-syntax",
        "hygiene",
        "error",
        "high",
        "this is not\nYAML \x1b[31m",
        at("broken.yaml", "", (1, 1), (3, 2)),
        "here",
    ),
    Finding(
        "mtls-permissive",
        "mtls",
        "error",
        "high",
        "Deployment pay/old accepts plain text on port 80",
        at(PEER, "/spec/mtls/mode", (8, 11), (8, 21)),
        resource=ResourceRef("apps/v1", "Deployment", "pay", "old"),
        suppressed=Suppression("comment", "leaves in May", at(PEER, "/spec/mtls/mode", (7, 3), (7, 7))),
    ),
    Finding(
        "cluster-wide",
        "authz",
        "warning",
        "high",
        "Namespace pay has no policy",
        at(PEER, "/metadata/namespace", (5, 14), (5, 17)),
        resource=ResourceRef("v1", "Namespace", None, "pay"),
        suppressed=Suppression("baseline", ""),
    ),
]


def sample() -> Report:
    return Report(
        findings=list(FINDINGS),
        errors=[RunError("cannot be read: Permission denied", "secret.yaml"), RunError("rule x crashed")],
        skipped=[
            Skipped("chart/templates/b.yaml", "helm-template"),
            Skipped("chart/templates/a.yaml", "helm-template"),
            Skipped("site.yaml", "jinja-template"),
        ],
        files=18,
        documents=44,
        resources=41,
        rules={rule.name: rule for rule in RULES},
        notices=["2 kustomizations are not built"],
    )
