"""Input that grows in one direction: how does the time of a run grow with it?

A shape is a tree of manifests in which one thing is there n times, and mostly meets another thing that is
there n times too: principals and workloads, routes of one host, policies of one namespace. Each is linted
with n and with 4 n of them, with everything on (profile audit, complete). What is linear takes 4 times as
long, what compares all with all 16 times; start-up is taken off.

    python -m benchmarks.shapes                          # all shapes, n = 750
    python -m benchmarks.shapes --only principals --size 3000
    python -m benchmarks.shapes --only principals --size 3000 --write DIR       # the tree alone
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
#: above this factor for four times the input something is not linear
ALLOWED = 6.0

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
GATEWAY_API = "gateway.networking.k8s.io/v1"
LINT = ("lint", "--no-cache", "--no-config", "--quiet", "--format", "json", "--profile", "audit")
COMMANDS = {
    "lint": LINT,
    "complete": (*LINT, "--complete"),
    "calls": ("inspect", "--no-config", "--calls", "--complete", "--format", "json"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SHAPES), help="names of shapes, with commas between them")
    parser.add_argument("--size", type=int, default=750, help="n")
    parser.add_argument("--commands", default="complete", help=f"some of {', '.join(COMMANDS)}")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has meshlint")
    parser.add_argument("--write", type=Path, help="write the trees of n there and measure nothing")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something is not linear")
    given = parser.parse_args()
    names = given.only.split(",")
    if given.write:
        for name in names:
            write(name, given.size, given.write / name)
        return
    grown = [row for name in names for row in _measured(name, given)]
    if given.strict and max(grown) > ALLOWED:
        raise SystemExit(1)


def write(name: str, size: int, folder: Path) -> None:
    """The tree of a shape. A shape with a kustomization has a file for each object."""
    folder.mkdir(parents=True, exist_ok=True)
    manifests = list(SHAPES[name](size))
    if name.startswith("kustom"):
        for number, manifest in enumerate(manifests):
            (folder / f"r{number:05}.yaml").write_text(_text(manifest))
        files = [f"r{number:05}.yaml" for number in range(len(manifests))]
        kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        (folder / "kustomization.yaml").write_text(_text({**kind, "resources": files}))
    else:
        for start in range(0, len(manifests), 200):
            part = manifests[start : start + 200]
            (folder / f"part-{start:05}.yaml").write_text("---\n".join(map(_text, part)))


def _measured(name: str, given: argparse.Namespace) -> Iterator[float]:
    """How many times as long each command takes for four times as much, start-up taken off."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(size) for size in (1, given.size, 4 * given.size)]
        for folder in folders:
            write(name, int(folder.name), folder)
        for command in given.commands.split(","):
            one, small, large = (
                _seconds([given.python, "-m", "meshlint", *COMMANDS[command], str(f)]) for f in folders
            )
            growth = (large - one) / max(small - one, 0.05)
            verdict = "ok  " if growth <= ALLOWED else "MISS"
            print(
                f"{verdict}  {name:24} {command:9} {small:6.2f} s  {large:6.2f} s  {growth:5.1f} x",
                flush=True,
            )
            yield growth


def _seconds(command: list[str]) -> float:
    """Processor time of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _text(manifest: Manifest) -> str:
    """JSON is YAML; the keys of the first level on lines of their own."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in manifest.items())


# -- manifests --------------------------------------------------------------------------------------------


def thing(version: str, kind: str, name: str, spec: Manifest | None = None, ns: str = "shop") -> Manifest:
    found: Manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": ns}}
    return found if spec is None else {**found, "spec": spec}


def labelled(number: int) -> Manifest:
    return {"matchLabels": {"app": f"app-{number}"}}


def deployment(number: int, ns: str = "shop") -> Manifest:
    pod = {
        "serviceAccountName": f"account-{number}",
        "containers": [{"name": "web", "image": "example.com/web:1", "ports": [{"containerPort": 8080}]}],
    }
    labels = {"labels": {"app": f"app-{number}"}}
    spec = {"selector": labelled(number), "template": {"metadata": labels, "spec": pod}}
    return thing("apps/v1", "Deployment", f"app-{number}", spec, ns)


def service(number: int, app: int | None = None, ns: str = "shop") -> Manifest:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    chosen = {"app": f"app-{number if app is None else app}"}
    return thing("v1", "Service", f"app-{number}", {"selector": chosen, "ports": ports}, ns)


def account(number: int, ns: str = "shop") -> Manifest:
    return thing("v1", "ServiceAccount", f"account-{number}", ns=ns)


def namespace(name: str, **labels: str) -> Manifest:
    metadata = {"name": name, "labels": labels or {"istio-injection": "enabled"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def apps(n: int, ns: str = "shop") -> Iterator[Manifest]:
    """N Deployments in the mesh, each with its Service."""
    yield namespace(ns)
    for number in range(n):
        yield deployment(number, ns)
        yield service(number, ns=ns)


def authorization(name: str, rules: list[Manifest], ns: str = "shop", **spec: Any) -> Manifest:
    return thing(SECURITY, "AuthorizationPolicy", name, {**spec, "rules": rules}, ns)


def sources(n: int, **fields: str) -> Iterator[Manifest]:
    """One policy whose only rule has n values in each of the fields, over n workloads."""
    yield from apps(n)
    source = {
        field: [value.format(i, i // 250, i % 250) for i in range(n)] for field, value in fields.items()
    }
    yield authorization("callers", [{"from": [{"source": source}]}])


def gateway(name: str, hosts: list[str], **more: Any) -> Manifest:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts}
    return thing(
        NETWORKING, "Gateway", name, {"selector": {"istio": "ingressgateway"}, "servers": [server], **more}
    )


def to(number: int) -> list[Manifest]:
    return [{"destination": {"host": f"app-{number}.shop.svc.cluster.local", "port": {"number": 80}}}]


def virtual_service(
    name: str, hosts: list[str], http: list[Manifest], *gateways: str, ns: str = "shop"
) -> Manifest:
    given = {"gateways": list(gateways)} if gateways else {}
    return thing(NETWORKING, "VirtualService", name, {"hosts": hosts, **given, "http": http}, ns)


def below(number: int) -> list[Manifest]:
    return [{"uri": {"prefix": f"/part-{number}/"}}]


# -- one large repository ---------------------------------------------------------------------------------


def shared_gateway(documents: int) -> Iterator[Manifest]:
    """A repository of namespaces with 10 apps each that all use one gateway.

    Half of the documents are Services, a fifth VirtualServices of the gateway, and the rest is Deployments,
    DestinationRules, policies and what a namespace has once.
    """
    everything = _shared_gateway()
    for _ in range(documents):
        yield next(everything)


def _shared_gateway() -> Iterator[Manifest]:
    yield gateway("public", ["*.example.com"])
    for number in count():
        ns = f"team-{number}"
        yield namespace(ns)
        yield thing(SECURITY, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}, ns)
        for app in range(10):
            yield service(app, ns=ns)
            yield service(app + 100, app, ns)
            if app % 5 < 4:
                host = f"app-{app}-{number}.example.com"
                rule = {"route": [{"destination": {"host": f"app-{app}"}}], "timeout": "5s"}
                yield virtual_service(f"app-{app}", [host], [rule], "shop/public", ns=ns)
            if app % 2:
                yield deployment(app, ns)
        yield thing(NETWORKING, "DestinationRule", "app-1", {"host": "app-1"}, ns)
        rule = {"from": [{"source": {"namespaces": ["shop"]}}]}
        yield authorization("public", [rule], ns=ns, selector=labelled(1))
        yield from (account(app, ns) for app in range(1, 6, 2))


# -- shapes -----------------------------------------------------------------------------------------------


def policies(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        principal = f"cluster.local/ns/shop/sa/account-{i}"
        yield authorization(
            f"p-{i}", [{"from": [{"source": {"principals": [principal]}}]}], selector=labelled(i)
        )


def policies_of_one_namespace(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        principal = f"cluster.local/ns/shop/sa/account-{i}"
        yield authorization(f"p-{i}", [{"from": [{"source": {"principals": [principal]}}]}])


def policy_rules(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield authorization(
        "callers",
        [
            {
                "from": [{"source": {"principals": [f"cluster.local/ns/shop/sa/account-{i}"]}}],
                "to": [{"operation": {"paths": [f"/part-{i}/*"]}}],
            }
            for i in range(n)
        ],
    )


def policy_paths(n: int) -> Iterator[Manifest]:
    yield from exposed(n)
    paths = [f"/part-{i}/*" for i in range(n)]
    yield authorization("callers", [{"to": [{"operation": {"paths": paths}}]}])


def exposed(n: int, used: str = "web") -> Iterator[Manifest]:
    """N apps, each with a route of a gateway."""
    yield from apps(n)
    yield gateway("web", ["*"])
    for i in range(n):
        yield virtual_service(f"v-{i}", [f"h{i}.example.com"], [{"route": to(i)}], used)


def gateway_servers(n: int) -> Iterator[Manifest]:
    yield from exposed(n, "many")
    servers = [
        {
            "port": {"number": 443, "name": f"https-{i}", "protocol": "HTTPS"},
            "hosts": [f"h{i}.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": f"cert-{i}"},
        }
        for i in range(n)
    ]
    yield gateway("many", ["*"], servers=servers)


def gateways(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        yield gateway(f"g-{i}", [f"h{i}.example.com"])
        yield virtual_service(f"v-{i}", [f"h{i}.example.com"], [{"route": to(i)}], f"g-{i}")


def gateways_of_one_host(n: int) -> Iterator[Manifest]:
    for i in range(n):
        yield gateway(f"g-{i}", ["shop.example.com"])


def routes(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield gateway("web", ["*"])
    rules = [{"match": below(i), "route": to(i)} for i in range(n)]
    yield virtual_service("many", ["shop.example.com"], rules, "web")


def hosts(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield gateway("web", ["*"])
    yield virtual_service("many", [f"h{i}.example.com" for i in range(n)], [{"route": to(0)}], "web")


def merged_routes(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield gateway("web", ["shop.example.com"])
    for i in range(n):
        yield virtual_service(f"v-{i}", ["shop.example.com"], [{"match": below(i), "route": to(i)}], "web")


def mesh_routes(n: int) -> Iterator[Manifest]:
    """All of one host of the mesh: of such virtual services only the first counts."""
    yield from apps(n)
    for i in range(n):
        yield virtual_service(f"v-{i}", ["app-0.shop.svc.cluster.local"], [{"route": to(i)}])


def delegates(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield gateway("web", ["*"])
    rules = [{"match": below(i), "delegate": {"name": f"d-{i}", "namespace": "shop"}} for i in range(n)]
    yield virtual_service("root", ["shop.example.com"], rules, "web")
    for i in range(n):
        yield thing(NETWORKING, "VirtualService", f"d-{i}", {"http": [{"route": to(i)}]})


def destination_rules(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        tls = {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
        yield thing(NETWORKING, "DestinationRule", f"d-{i}", {"host": f"*.part-{i}.example.com", **tls})


def destination_rules_of_namespaces(n: int) -> Iterator[Manifest]:
    """Wildcards that overlap with the hosts of all services."""
    yield from apps(n)
    for i in range(n):
        tls = {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
        yield thing(
            NETWORKING, "DestinationRule", f"d-{i}", {"host": "*.shop.svc.cluster.local", **tls}, f"ns-{i}"
        )


def subsets(n: int) -> Iterator[Manifest]:
    yield from apps(1)
    versions = [{"name": f"v{i}", "labels": {"version": f"v{i}"}} for i in range(n)]
    host = "app-0.shop.svc.cluster.local"
    yield thing(NETWORKING, "DestinationRule", "many", {"host": host, "subsets": versions})
    routes = [
        {"match": below(i), "route": [{"destination": {"host": host, "subset": f"v{i}"}}]} for i in range(n)
    ]
    yield virtual_service("many", [host], routes)


def sidecars(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        egress = [{"hosts": [f"./app-{i}.shop.svc.cluster.local", "istio-system/*"]}]
        selector = {"labels": {"app": f"app-{i}"}}
        yield thing(NETWORKING, "Sidecar", f"s-{i}", {"workloadSelector": selector, "egress": egress})


def sidecar_hosts(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    egress = [{"hosts": [f"./app-{i}.shop.svc.cluster.local" for i in range(n)]}]
    yield thing(NETWORKING, "Sidecar", "default", {"egress": egress})


def entry(name: str, hosts: list[str], **more: Any) -> Manifest:
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
    return thing(
        NETWORKING, "ServiceEntry", name, {"hosts": hosts, "ports": ports, "resolution": "NONE", **more}
    )


def service_entries(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        yield entry(f"e-{i}", [f"*.part-{i}.example.com"])


def service_entries_of_one_host(n: int) -> Iterator[Manifest]:
    for i in range(n):
        yield entry(f"e-{i}", ["*.example.com", f"h{i}.example.com"])


def entry_hosts(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    yield entry("many", [f"h{i}.example.com" for i in range(n)])


def entry_endpoints(n: int) -> Iterator[Manifest]:
    endpoints = [{"address": f"10.0.{i // 250}.{i % 250}"} for i in range(n)]
    yield entry("many", ["shop.example.com"], resolution="STATIC", endpoints=endpoints)


def workload_entries(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    selector = {"workloadSelector": {"labels": {"app": "vm"}}}
    yield entry("vms", ["vm.example.com"], resolution="STATIC", **selector)
    for i in range(n):
        spec = {
            "address": f"10.0.{i // 250}.{i % 250}",
            "labels": {"app": "vm"},
            "serviceAccount": f"account-{i}",
        }
        yield thing(NETWORKING, "WorkloadEntry", f"w-{i}", spec)


def http_routes(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    listener = {"name": "web", "port": 80, "protocol": "HTTP"}
    yield thing(GATEWAY_API, "Gateway", "web", {"gatewayClassName": "istio", "listeners": [listener]})
    for i in range(n):
        match = [{"path": {"type": "PathPrefix", "value": f"/part-{i}"}}]
        rule = {"matches": match, "backendRefs": [{"name": f"app-{i}", "port": 80}]}
        spec = {"parentRefs": [{"name": "web"}], "hostnames": ["shop.example.com"], "rules": [rule]}
        yield thing(GATEWAY_API, "HTTPRoute", f"r-{i}", spec)


def listeners(n: int) -> Iterator[Manifest]:
    """A Gateway has 64 listeners at most."""
    yield from apps(n)
    given = [
        {"name": f"l-{i}", "port": 80, "protocol": "HTTP", "hostname": f"h{i}.example.com"} for i in range(64)
    ]
    yield thing(GATEWAY_API, "Gateway", "web", {"gatewayClassName": "istio", "listeners": given})
    for i in range(n):
        rule = {"backendRefs": [{"name": f"app-{i}", "port": 80}]}
        spec = {"parentRefs": [{"name": "web"}], "hostnames": [f"h{i % 64}.example.com"], "rules": [rule]}
        yield thing(GATEWAY_API, "HTTPRoute", f"r-{i}", spec)


def envoy_filters(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        patch = {"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND"}}
        merge = {"operation": "MERGE", "value": {"connect_timeout": "1s"}}
        selector = {"labels": {"app": f"app-{i}"}}
        spec = {"workloadSelector": selector, "configPatches": [{**patch, "patch": merge}]}
        yield thing("networking.istio.io/v1alpha3", "EnvoyFilter", f"f-{i}", spec)


def services_of_one_workload(n: int) -> Iterator[Manifest]:
    yield from apps(1)
    for i in range(1, n):
        yield service(i, app=0)


def workloads_of_one_service(n: int) -> Iterator[Manifest]:
    yield from apps(1)
    for i in range(1, n):
        same = deployment(0)
        same["metadata"]["name"] = f"same-{i}"
        yield same


def services_and_workloads(n: int) -> Iterator[Manifest]:
    """All Services select all pods: the pairs alone are quadratic, so n is the root here."""
    root = max(1, int(n**0.5))
    yield from services_of_one_workload(root)
    yield from list(workloads_of_one_service(root))[3:]


def service_ports(n: int) -> Iterator[Manifest]:
    yield from apps(1)
    ports = [{"name": f"http-{i}", "port": 10000 + i, "targetPort": 8080} for i in range(n)]
    yield thing("v1", "Service", "many", {"selector": {"app": "app-0"}, "ports": ports})


def container_ports(n: int) -> Iterator[Manifest]:
    many = deployment(0)
    ports = [{"name": f"p{i}", "containerPort": 10000 + i} for i in range(n)]
    many["spec"]["template"]["spec"]["containers"][0]["ports"] = ports
    yield many
    numbers = [{"name": f"http-{i}", "port": 10000 + i, "targetPort": f"p{i}"} for i in range(n)]
    yield thing("v1", "Service", "many", {"selector": {"app": "app-0"}, "ports": numbers})


def peer_authentications(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        ports = {"portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}}
        spec = {"selector": labelled(i), "mtls": {"mode": "STRICT"}, **ports}
        yield thing(SECURITY, "PeerAuthentication", f"p-{i}", spec)


def peer_authentications_of_one_namespace(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        yield thing(SECURITY, "PeerAuthentication", f"p-{i}", {"mtls": {"mode": "STRICT"}})


def request_authentications(n: int) -> Iterator[Manifest]:
    yield from exposed(n)
    for i in range(n):
        rule = {"issuer": f"https://h{i}.example.com", "jwksUri": f"https://h{i}.example.com/jwks"}
        spec = {"selector": labelled(i), "jwtRules": [rule]}
        yield thing(SECURITY, "RequestAuthentication", f"r-{i}", spec)


def jwt_rules(n: int) -> Iterator[Manifest]:
    yield from exposed(n)
    rules = [
        {"issuer": f"https://h{i}.example.com", "jwksUri": f"https://h{i}.example.com/jwks"} for i in range(n)
    ]
    yield thing(SECURITY, "RequestAuthentication", "many", {"jwtRules": rules})
    values = [f"https://h{i}.example.com/*" for i in range(n)]
    yield authorization("tokens", [{"from": [{"source": {"requestPrincipals": values}}]}])


def telemetries(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        spec = {"selector": labelled(i), "accessLogging": [{"providers": [{"name": "envoy"}]}]}
        yield thing("telemetry.istio.io/v1", "Telemetry", f"t-{i}", spec)


def wasm_plugins(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        spec = {"selector": labelled(i), "url": f"oci://example.com/w{i}:1", "phase": "AUTHN"}
        yield thing("extensions.istio.io/v1alpha1", "WasmPlugin", f"w-{i}", spec)


def namespaces(n: int) -> Iterator[Manifest]:
    for i in range(n):
        ns = f"ns-{i}"
        yield from apps(1, ns)
        yield thing(SECURITY, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}, ns)
        yield thing(NETWORKING, "Sidecar", "default", {"egress": [{"hosts": ["./*", "istio-system/*"]}]}, ns)


def alternatives(n: int) -> Iterator[Manifest]:
    """Versions of one object, as courses and environments have them."""
    for i in range(n):
        yield from apps(1)
        yield virtual_service("web", ["app-0"], [{"route": to(0), "timeout": f"{i + 1}s"}])
        yield authorization("web", [{"to": [{"operation": {"ports": ["8080"]}}]}], selector=labelled(0))
        yield thing(SECURITY, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}})
        yield thing(NETWORKING, "DestinationRule", "web", {"host": "app-0"})


def secrets(n: int) -> Iterator[Manifest]:
    yield from gateway_servers(n)
    for i in range(n):
        data = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
        yield {**thing("v1", "Secret", f"cert-{i}"), **data}


def ingresses(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        backend = {"service": {"name": f"app-{i}", "port": {"number": 80}}}
        path = {"path": f"/part-{i}", "pathType": "Prefix", "backend": backend}
        spec = {
            "ingressClassName": "istio",
            "rules": [{"host": "shop.example.com", "http": {"paths": [path]}}],
        }
        yield thing("networking.k8s.io/v1", "Ingress", f"i-{i}", spec)


def autoscalers(n: int) -> Iterator[Manifest]:
    yield from apps(n)
    for i in range(n):
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"app-{i}"}
        spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
        yield thing("autoscaling/v2", "HorizontalPodAutoscaler", f"a-{i}", spec)
        budget = {"minAvailable": 1, "selector": labelled(i)}
        yield thing("policy/v1", "PodDisruptionBudget", f"b-{i}", budget)


def accounts(n: int) -> Iterator[Manifest]:
    yield from policies(n)
    for i in range(n):
        yield account(i)


def ambient(n: int) -> Iterator[Manifest]:
    """N apps behind one waypoint, and a policy for each of their services."""
    _, *rest = apps(n)
    yield namespace("shop", **{"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "waypoint"})
    yield from rest
    listener = {"name": "mesh", "port": 15008, "protocol": "HBONE"}
    spec = {"gatewayClassName": "istio-waypoint", "listeners": [listener]}
    yield thing(GATEWAY_API, "Gateway", "waypoint", spec)
    for i in range(n):
        target = {"kind": "Service", "group": "", "name": f"app-{i}"}
        source = {"principals": [f"cluster.local/ns/shop/sa/account-{i}"]}
        yield authorization(f"p-{i}", [{"from": [{"source": source}]}], targetRefs=[target])


PRINCIPAL = "cluster.local/ns/shop/sa/account-{0}"
SHAPES: dict[str, Callable[[int], Iterator[Manifest]]] = {
    "principals": lambda n: sources(n, principals=PRINCIPAL),
    "not-principals": lambda n: sources(n, notPrincipals=PRINCIPAL),
    "principal-suffixes": lambda n: sources(n, principals="*/sa/account-{0}"),
    "principal-prefixes": lambda n: sources(n, principals="cluster.local/ns/shop/sa/account-{0}*"),
    "source-namespaces": lambda n: sources(n, namespaces="ns-{0}"),
    "namespace-patterns": lambda n: sources(n, namespaces="ns-{0}-*"),
    "service-accounts": lambda n: sources(n, serviceAccounts="shop/account-{0}"),
    "ip-blocks": lambda n: sources(n, ipBlocks="10.{1}.{2}.0/24", remoteIpBlocks="10.{1}.{2}.0/24"),
    "request-principals": lambda n: sources(n, requestPrincipals="https://example.com/user-{0}"),
    "policies": policies,
    "policies-of-namespace": policies_of_one_namespace,
    "policy-rules": policy_rules,
    "policy-paths": policy_paths,
    "accounts": accounts,
    "ambient": ambient,
    "exposed": exposed,
    "gateway-servers": gateway_servers,
    "gateways": gateways,
    "gateways-of-host": gateways_of_one_host,
    "routes": routes,
    "hosts": hosts,
    "merged-routes": merged_routes,
    "mesh-routes": mesh_routes,
    "delegates": delegates,
    "destination-rules": destination_rules,
    "rules-of-namespaces": destination_rules_of_namespaces,
    "subsets": subsets,
    "sidecars": sidecars,
    "sidecar-hosts": sidecar_hosts,
    "service-entries": service_entries,
    "entries-of-host": service_entries_of_one_host,
    "entry-hosts": entry_hosts,
    "entry-endpoints": entry_endpoints,
    "workload-entries": workload_entries,
    "http-routes": http_routes,
    "listeners": listeners,
    "envoy-filters": envoy_filters,
    "services-of-workload": services_of_one_workload,
    "workloads-of-service": workloads_of_one_service,
    "services-and-workloads": services_and_workloads,
    "service-ports": service_ports,
    "container-ports": container_ports,
    "kustomization": apps,
    "peer-authentications": peer_authentications,
    "peers-of-namespace": peer_authentications_of_one_namespace,
    "request-authentications": request_authentications,
    "jwt-rules": jwt_rules,
    "telemetries": telemetries,
    "wasm-plugins": wasm_plugins,
    "namespaces": namespaces,
    "alternatives": alternatives,
    "secrets": secrets,
    "ingresses": ingresses,
    "autoscalers": autoscalers,
    "shared-gateway": shared_gateway,
}  # fmt: skip


if __name__ == "__main__":
    main()
