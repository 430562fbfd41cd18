"""Do the servers of Gateways get pods, ports and certificates, and do they get along? (spec traffic 5.11)

What the webhook refuses in one Gateway is in `admission.gateway`; Gateways whose servers meet on the same
pods are compared in `gateway_servers`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.admission.server_tls import OF_CLIENTS, TERMINATING
from meshlint.checks.traffic.gateway_secrets import put_elsewhere
from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.gateways import Gateway, Server
from meshlint.mesh.hosts import overlap
from meshlint.mesh.labels import GATEWAY_NAME, OLD_GATEWAY_NAME
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.routes import Route
from meshlint.mesh.scope import GATEWAY_API, Evidence
from meshlint.mesh.secrets import Flaw
from meshlint.mesh.workloads import Workload
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, int_of, mappings, string_map, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
#: labels of the gateways that installations bring (spec repositories 9)
_INSTALLED: Final = frozenset(
    {
        "ingressgateway", "egressgateway", "eastwestgateway", "istio-ingressgateway", "istio-egressgateway",
        "istio-eastwestgateway", "istio-ingress", "istio-egress", "istio-gateway", "ingress", "egress",
        "ingress-gateway", "egress-gateway", "knative-local-gateway",
    }
)  # fmt: skip
_GATEWAY_LABELS: Final = frozenset({GATEWAY_NAME, OLD_GATEWAY_NAME})
_INSIDE: Final = ("egress", "eastwest", "east-west", "cross-network", "internal", "private", "mesh-local")
#: parts of the annotations of Services whose load balancer is inside of a network, or ends TLS itself
_SHIELDED: Final = ("internal", "ssl-cert", "ssl-ports", "certificate", "backend-config", "tls-secret")


# -- gw-credential-missing ------------------------------------------------------------------------


def credential_missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        if gateway.api == "istio":
            yield from _credentials(mesh, gateway)
        elif gateway.istio:
            yield from _certificates(mesh, gateway)


def _credentials(mesh: Mesh, gateway: Gateway) -> Iterator[Draft]:
    wanted = [(server, item) for server in gateway.servers for item in _named(server)]
    if not wanted:
        return
    homes = list(dict.fromkeys(workload.namespace for workload in mesh.gateways.workloads_of(gateway)))
    for server, item in wanted:
        own, slash, name = item.text.rpartition("/")
        namespaces = [own] if slash else homes
        if is_placeholder(item.text) or "/" in own:
            continue
        if not namespaces:
            yield from put_elsewhere(mesh, gateway, server.port, item)
            continue
        found = [r for ns in namespaces for r in mesh.secrets.find(ns, name)]
        if found:
            yield from _flawed(mesh, gateway, server, item, name, namespaces)
        elif not any(mesh.secrets.exists(ns, name) for ns in namespaces):
            yield from _absent(mesh, gateway, server, item, name, namespaces)


def _named(server: Server) -> list[Scalar]:
    """The Secrets of a server that ends TLS itself."""
    tls = server.node.get("tls")
    if not isinstance(tls, YamlMapping) or server.tls_mode not in TERMINATING:
        return []
    one = tls.get("credentialName")
    listed = [one] if isinstance(one, Scalar) else texts(tls.get("credentialNames"))
    return [item for item in listed if text_of(item) and "://" not in item.text]


def _absent(
    mesh: Mesh, gateway: Gateway, server: Server, item: Scalar, name: str, namespaces: list[str]
) -> Iterator[Draft]:
    answers = [mesh.secrets.missing(namespace, name) for namespace in namespaces]
    if None in answers:
        return
    sure = min((a for a in answers if a), key=("low", "medium", "high").index)
    others = mesh.secrets.elsewhere(name)
    pods = [("its pods", w.resource.place()) for w in mesh.gateways.workloads_of(gateway)[:1]]
    what = "does not exist" if sure == "high" else "is not in the given files"
    where = f"in {' or '.join(namespaces)}, where its pods are" if pods else f"in {namespaces[0]}"
    yield Draft(
        gateway.resource.place(item),
        f"{gateway.resource.title} takes its certificate for port {server.port} from the Secret {name}, "
        f"which {what} {where}: the port has no certificate, and TLS connections fail",
        label="no such Secret",
        help=f"create the Secret in {namespaces[0]}; gateways read Secrets of their pods' namespace only",
        related=(*pods, *((f"in {other.ns}", other.place()) for other in others[:2])),
        confidence=None if sure == "high" else sure,
        equivalents=("IST0101",),
    )


def _flawed(
    mesh: Mesh, gateway: Gateway, server: Server, item: Scalar, name: str, namespaces: list[str]
) -> Iterator[Draft]:
    """The Secret is there: does one of its versions hold what the mode needs?"""
    secrets = [secret for namespace in namespaces for secret in mesh.secrets.find(namespace, name)]
    authority = server.tls_mode in OF_CLIENTS and not any(
        mesh.secrets.exists(namespace, f"{name}-cacert") for namespace in namespaces
    )
    flaws = [mesh.secrets.flaw(secret, authority=authority) for secret in secrets]
    if None in flaws:
        return
    flaw = next(flaw for flaw in flaws if flaw is not None)
    sure = _sure_of(mesh, flaw, namespaces, name)
    if sure is None:
        return
    yield Draft(
        gateway.resource.place(item),
        f"{gateway.resource.title} takes its certificate for port {server.port} from "
        f"{secrets[0].title}, which {flaw.reason}: the gateway cannot use it in mode {server.tls_mode}",
        label="not usable",
        help="store the certificate as tls.crt and the key as tls.key"
        + (f"; the clients' CA goes into ca.crt, or into the Secret {name}-cacert" if authority else ""),
        related=(("the Secret", flaw.place),),
        confidence=None if sure == "high" else sure,
        equivalents=("IST0161",) if "ca.crt" not in flaw.reason else (),
    )


def _sure_of(mesh: Mesh, flaw: Flaw, namespaces: list[str], name: str) -> str | None:
    """What is in a Secret is a fact; that a second Secret with the CA is missing is not."""
    if "ca.crt" in flaw.reason:
        return mesh.absence.of("", "Secret", namespaces[0], f"{name}-cacert")
    return "medium" if "holds no certificate" in flaw.reason else "high"


def _certificates(mesh: Mesh, gateway: Gateway) -> Iterator[Draft]:
    """Listeners of the Gateway API: the Secret is there, and a grant where it is in another namespace."""
    from meshlint.mesh.grants import Target, grant_missing

    for server in gateway.servers:
        for reference in mappings(server.node.dig("tls", "certificateRefs")):
            name, kind = text_of(reference.get("name")) or "", text_of(reference.get("kind")) or "Secret"
            namespace = text_of(reference.get("namespace")) or gateway.namespace
            if kind != "Secret" or text_of(reference.get("group")) or not name or is_placeholder(name):
                continue
            if not mesh.secrets.exists(namespace, name):
                sure = mesh.secrets.missing(namespace, name)
                if sure:
                    yield _no_certificate(gateway, server, reference, namespace, name, sure)
            elif namespace != gateway.namespace:
                target = Target("", "Secret", namespace, name)
                sure = grant_missing(mesh, gateway.resource, target)
                if sure:
                    yield _not_granted(gateway, server, reference, namespace, name, sure)


def _no_certificate(
    gateway: Gateway, server: Server, reference: YamlMapping, namespace: str, name: str, sure: str
) -> Draft:
    what = "does not exist" if sure == "high" else "is not in the given files"
    return Draft(
        gateway.resource.place(reference.get("name")),
        f"{gateway.resource.title} takes the certificate of the listener {server.name} from the Secret "
        f"{namespace}/{name}, which {what}: the listener is not programmed",
        label="no such Secret",
        help=f"create the Secret in {namespace}",
        confidence=None if sure == "high" else sure,
        equivalents=(),
    )


def _not_granted(
    gateway: Gateway, server: Server, reference: YamlMapping, namespace: str, name: str, sure: str
) -> Draft:
    return Draft(
        gateway.resource.place(reference.get("namespace")),
        f"{gateway.resource.title} takes the certificate of the listener {server.name} from the Secret "
        f"{namespace}/{name}, and no ReferenceGrant in {namespace} lets it: the listener is not programmed",
        label="not granted",
        help=f"create a ReferenceGrant in {namespace} from Gateway of {gateway.namespace} to Secret",
        confidence=None if sure == "high" else sure,
        equivalents=(),
    )


# -- gw-selector-no-pods, gw-empty-selector -------------------------------------------------------


def selector_no_pods(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        selector = gateway.selector
        if gateway.api != "istio" or not selector or mesh.gateways.workloads_of(gateway):
            continue
        if any(is_placeholder(text) for text in (*selector, *selector.values())):
            continue
        sure = _pods_missing(mesh, selector)
        if sure is None:
            continue
        labels = ", ".join(f"{key}: {value}" for key, value in selector.items())
        yield Draft(
            gateway.resource.place_at("spec", "selector", part="key"),
            f"{gateway.resource.title} is for pods with {labels}, and no pod "
            f"{'' if sure == 'high' else 'of the given files '}has these labels: nothing serves it",
            label="selects no pod",
            help="use the labels of the gateway's pods, such as istio: ingressgateway",
            confidence=None if sure == "high" else sure,
        )


def _pods_missing(mesh: Mesh, selector: Mapping[str, str]) -> str | None:
    """How sure is it that no gateway carries the labels? Those of installations are never in a tree."""
    scope = mesh.scope
    if any(key in ("istio", "app") and value in _INSTALLED for key, value in selector.items()):
        return None
    names = [value for key, value in selector.items() if key in _GATEWAY_LABELS]
    if any(mesh.absence.elsewhere(GATEWAY_API, "Gateway", name) for name in names):
        return None
    if any(selector.items() <= labels.items() for labels in _operated(mesh)):
        return None
    if scope.settings.complete:
        return "high"
    return "low" if _has_gateway_pods(mesh) and not scope.settings.remainder else None


@once
def _has_gateway_pods(mesh: Mesh) -> bool:
    return any(mesh.data_planes.of(workload).is_(DataPlane.GATEWAY) for workload in mesh.workloads.all)


@once
def _operated(mesh: Mesh) -> list[dict[str, str]]:
    """Labels of gateways that an IstioOperator of the input makes."""
    found = []
    for resource in mesh.scope.of("install.istio.io", "IstioOperator"):
        for kind in ("ingressGateways", "egressGateways"):
            for entry in resource.mappings("spec", "components", kind):
                name = text_of(entry.get("name")) or ""
                own = {"app": name, "istio": name.removeprefix("istio-")}
                found.append({**own, **string_map(entry.get("label"))})
    return found


def empty_selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        resource = gateway.resource
        if gateway.api != "istio" or gateway.selector or resource.mapping("spec") is None:
            continue
        written = resource.get("spec", "selector")
        if written is not None and not isinstance(written, YamlMapping):
            continue
        yield Draft(
            resource.place_at("spec", "selector" if written is not None else "servers", part="key"),
            f"{resource.title} has no selector: every gateway of the mesh opens its ports, egress and "
            "internal ones included",
            label="for all gateways",
            help="name the labels of the pods that are meant, such as istio: ingressgateway",
        )


# -- gw-port-not-on-service -----------------------------------------------------------------------


def port_not_on_service(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        pods = mesh.gateways.workloads_of(gateway) if gateway.api == "istio" else []
        services = {id(s): s for w in pods for s in mesh.registry.services_of(w) if s.kind != "service-entry"}
        if not services and not (pods and all(_without_service(mesh, pod.namespace) for pod in pods)):
            continue
        reached = _reached(mesh, pods, services.values())
        for server in gateway.servers:
            place = server.node.dig("port", "number")
            if place is None or not server.port or server.port in reached or _own_bind(server):
                continue
            first = next((service.resource.title for service in services.values()), "a Service for the pods")
            yield Draft(
                gateway.resource.place(place),
                f"{gateway.resource.title} serves port {server.port}, which no Service of its pods leads to: "
                "clients cannot connect to it",
                label="on no Service",
                help=f"add port {server.port} to {first}",
                related=tuple(
                    ("ports of its Service", s.resource.place_at("spec", "ports", part="key"))
                    for s in list(services.values())[:3]
                ),
                confidence=None if mesh.settings.complete else "medium",
            )


def _without_service(mesh: Mesh, namespace: str) -> bool:
    """Is it certain that gateway pods of the namespace without a Service in the input have none?"""
    closed = mesh.scope.evidence("", "Service", namespace) is Evidence.CLOSED
    return closed and not mesh.existence.installed_into(namespace)


def _own_bind(server: Server) -> bool:
    return server.node.get("bind") is not None


def _reached(mesh: Mesh, pods: list[Workload], services: Iterable[Service]) -> set[int]:
    """Numbers that a server may have to be reachable: ports of Services, their targets, ports of the host."""
    found: set[int] = set()
    for service in services:
        for port in service.ports:
            found.add(port.number)
            for workload in pods:
                target = mesh.registry.target_port(service, port, workload)
                if target.known:
                    found.add(target.value)
    for workload in pods:
        for declared in workload.ports:
            if workload.host_network or int_of(declared.node.get("hostPort")):
                found.add(declared.number)
                found.add(int_of(declared.node.get("hostPort")) or declared.number)
    return found


# -- gw-http-no-redirect --------------------------------------------------------------------------


def http_no_redirect(mesh: Mesh, options: Options) -> Iterator[Draft]:
    leading = _by_target(mesh.registry.services)
    for gateway in mesh.gateways.all:
        plain = [s for s in gateway.servers if s.protocol in HTTP and not s.https_redirect and _public(s)]
        if not plain or not _faces_outside(mesh, gateway):
            continue
        for server in plain:
            if not _harmless(mesh, gateway, server) and not _inside(gateway, leading[server.port]):
                yield _plain_text(gateway, server, _encrypted(gateway, server))


def _by_target(services: Iterable[Service]) -> dict[int | str | None, list[Service]]:
    """The Services that lead to a port of pods."""
    found: dict[int | str | None, list[Service]] = defaultdict(list)
    for service in services:
        if service.kind == "service" and service.selector:
            for port in service.ports:
                found[port.number if port.target is None else port.target].append(service)
    return found


def _inside(gateway: Gateway, leading: list[Service]) -> bool:
    """Do Services lead to the port, and only such that clients of the cluster alone can use?"""
    own = [service for service in leading if service.selector.items() <= gateway.selector.items()]
    return bool(own) and not any(_is_public(service) for service in own)


def _harmless(mesh: Mesh, gateway: Gateway, server: Server) -> bool:
    """Do all rules behind the server redirect, or prove who owns the host?

    For listeners only routes can redirect, so without any in the input it is open.
    """
    found = mesh.routes.at_gateway(gateway)
    if gateway.api != "istio":
        return all(_is_harmless(route) for route in found if _attached(route, gateway, server))
    if not any(_is_harmless(route) for route in found):
        return False
    hosts = [host for _, host in server.hosts]
    own = [route for route in found if any(overlap(one, host) for one in route.hosts for host in hosts)]
    return bool(own) and all(_is_harmless(route) for route in own)


def _is_harmless(route: Route) -> bool:
    if route.action == "redirect":
        return True
    uris = [match.get("uri") for match in route.matches]
    return bool(uris) and all(_well_known(uri) for uri in uris)


def _well_known(uri: Node | None) -> bool:
    """A path such as that of ACME challenges, which certification authorities ask for in plain text."""
    if not isinstance(uri, YamlMapping):
        return False
    path = text_of(uri.get("prefix")) or text_of(uri.get("exact")) or ""
    return path.startswith("/.well-known/")


def _attached(route: Route, gateway: Gateway, server: Server) -> bool:
    for ref in route.resource.mappings("spec", "parentRefs"):
        namespace = text_of(ref.get("namespace")) or route.resource.ns
        if (namespace, text_of(ref.get("name"))) == (gateway.namespace, gateway.name):
            section, port = text_of(ref.get("sectionName")), int_of(ref.get("port"))
            if section in (None, server.name) and port in (None, server.port):
                return True
    return False


def _plain_text(gateway: Gateway, server: Server, encrypted: Server | None) -> Draft:
    if gateway.api == "istio":
        advice = "set tls.httpsRedirect: true, and serve the hosts with HTTPS on another port"
        node = server.node.dig("port", "protocol") or server.node
    else:
        advice = "attach a route with a RequestRedirect filter to it, and the others to an HTTPS listener"
        node = server.node.get("protocol") or server.node
    also = " beside HTTPS" if encrypted is not None else ""
    return Draft(
        gateway.resource.place(node),
        f"{gateway.resource.title} answers plain HTTP on port {server.port}{also} and does not redirect to "
        "HTTPS: requests, tokens and cookies cross the network readable (policy)",
        label="no redirect to HTTPS",
        help=advice,
        related=(("HTTPS for the same host", gateway.resource.place(encrypted.node.get("port"))),)
        if encrypted is not None
        else (),
    )


def _encrypted(gateway: Gateway, server: Server) -> Server | None:
    """A server of the same Gateway that ends TLS for one of its hosts."""
    hosts = [host for _, host in server.hosts]
    for other in gateway.servers:
        if other.protocol == "HTTPS" and any(overlap(a, b) for _, a in other.hosts for b in hosts):
            return other
    return None


def _public(server: Server) -> bool:
    """May clients of other networks use it? Names of the cluster and local listeners are for others."""
    if server.node.get("bind") is not None:
        return False
    return any(not host.endswith((".local", ".global", ".internal")) for _, host in server.hosts)


def _faces_outside(mesh: Mesh, gateway: Gateway) -> bool:
    words = (gateway.name, *gateway.selector.values(), gateway.class_name)
    if any(part in word for word in words for part in _INSIDE) or gateway.istio is not True:
        return False
    if gateway.api == "gateway-api":
        annotations = gateway.resource.mapping("spec", "infrastructure", "annotations") or ()
        keys = [*gateway.resource.annotations, *annotations]
        typed = gateway.resource.annotations.get("networking.istio.io/service-type")
        return gateway.class_name == "istio" and typed != "ClusterIP" and not _shielded(keys)
    pods = mesh.gateways.workloads_of(gateway)
    services = [s for workload in pods for s in mesh.registry.services_of(workload)]
    return not services or any(_is_public(service) for service in services)


def _is_public(service: Service) -> bool:
    kind = service.resource.text("spec", "type") or "ClusterIP"
    return kind in ("LoadBalancer", "NodePort") and not _shielded(service.resource.annotations)


def _shielded(annotations: Iterable[str]) -> bool:
    return any(part in key for key in annotations for part in _SHIELDED)


# -- gw-wildcard-host -----------------------------------------------------------------------------


def wildcard_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for gateway in mesh.gateways.all:
        if gateway.api != "istio":
            continue
        shared = _shared(mesh, gateway)
        for server in gateway.servers:
            item = next((i for i in texts(server.node.get("hosts")) if _open(i.text, shared)), None)
            if item is not None:
                yield Draft(
                    gateway.resource.place(item),
                    f"{gateway.resource.title} offers {item.text} on port {server.port} to VirtualServices "
                    "of every namespace: whoever may create one can take requests for it (policy)",
                    label="for all namespaces",
                    help="name the namespace that may use the host: shop/shop.example.com, or ./ for its own",
                )


def _open(host: str, shared: bool) -> bool:
    namespace, slash, name = host.rpartition("/")
    if is_placeholder(host) or (slash and namespace != "*"):
        return False
    return name == "*" or shared


def _shared(mesh: Mesh, gateway: Gateway) -> bool:
    """Do VirtualServices of other namespaces use it, or does it live where nobody's application does?"""
    if gateway.namespace in (mesh.config.root, "istio-ingress", "kyma-system"):
        return True
    return any(route.resource.ns != gateway.namespace for route in mesh.routes.at_gateway(gateway))
