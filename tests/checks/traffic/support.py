"""How a row of the traffic tables is tested: some manifests, a rule, and what it says about them."""

from __future__ import annotations

from meshlint.findings import Finding
from meshlint.mesh.scope import Settings
from meshlint.policy.run import run
from tests.checks.admission.support import rule_named
from tests.support import mesh_of

COMPLETE = Settings(complete=True)


def findings(rule: str, *texts: str, settings: Settings | None = None) -> list[Finding]:
    found, errors = run([rule_named(rule)], mesh_of(*texts, settings=settings))
    assert errors == []
    return found


def paths(rule: str, *texts: str, settings: Settings | None = None) -> list[str]:
    return [finding.location.path for finding in findings(rule, *texts, settings=settings)]


def verdicts(rule: str, *texts: str, settings: Settings | None = None) -> list[tuple[str, str]]:
    """Severity and confidence of each finding."""
    return [(f.severity, f.confidence) for f in findings(rule, *texts, settings=settings)]


def service(
    name: str = "a", namespace: str = "shop", ports: str = "[{name: http, port: 80}]", more: str = ""
) -> str:
    """A Service; `more` goes on after its spec, `ports` is a list."""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: {ports}{more}}}
"""


def virtual_service(
    spec: str, name: str = "a", namespace: str = "shop", hosts: str = "[a]", gateways: str = ""
) -> str:
    """A VirtualService; `spec` are the lines under spec besides hosts and gateways."""
    lines = "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())
    bound = f"  gateways: {gateways}\n" if gateways else ""
    named = f"  hosts: {hosts}\n" if hosts else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
{named}{bound}{lines}
"""


def to(*destinations: str, match: str = "", more: str = "", **where: str) -> str:
    """A VirtualService with one rule; destinations are the content of `destination`, weights equal."""
    entries = [f"{{destination: {{{one}}}, weight: 50}}" for one in destinations]
    if len(destinations) == 1:
        entries = [f"{{destination: {{{destinations[0]}}}}}"]
    rule = f"{{match: [{{{match}}}], " if match else "{"
    return virtual_service(f"http: [{rule}route: [{', '.join(entries)}]{more}}}]", **where)


def destination_rule(host: str, namespace: str = "shop", name: str = "", more: str = "") -> str:
    """A DestinationRule; `more` are fields of its spec in flow style."""
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name or "rule"}, namespace: {namespace}}}
spec: {{host: "{host}"{", " if more else ""}{more}}}
"""


def deployment(name: str, namespace: str = "shop", labels: str = "") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  template:
    metadata: {{labels: {{{labels or f"app: {name}"}}}}}
    spec: {{containers: [{{name: main, image: main}}]}}
"""


def gateway(hosts: str = '["*"]', name: str = "gw", namespace: str = "shop", server: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{{server or "port: {number: 80, name: http, protocol: HTTP}"}, hosts: {hosts}}}]
"""


def service_entry(host: str, namespace: str = "shop", more: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: entry, namespace: {namespace}}}
spec: {{hosts: ["{host}"], ports: [{{number: 80, name: http, protocol: HTTP}}]{more}}}
"""
