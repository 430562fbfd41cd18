"""Is a pod in the ambient mesh, and which waypoint serves it? (spec security 2)"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from meshlint.mesh.facts import Fact, all_of, any_of
from meshlint.mesh.labels import (
    INGRESS_USE_WAYPOINT,
    MANAGED,
    MODE,
    STATUS,
    USE_WAYPOINT,
    USE_WAYPOINT_NAMESPACE,
    WAYPOINT_FOR,
)
from meshlint.mesh.namespaces import label_value
from meshlint.mesh.scope import GATEWAY_API
from meshlint.mesh.webhooks import plain_selector, pod_label, selects, undecided
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping, Node, Scalar, text_of

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh

REDIRECTION = "ambient.istio.io/redirection"

#: namespaces that the CNI agent leaves alone by default
EXCLUDED_NAMESPACES = frozenset({"kube-system"})

_WAYPOINT_CLASSES = frozenset({"istio-waypoint", "agentgateway-waypoint"})
_INGRESS_CLASSES = frozenset({"istio", "istio-remote"})
_WAYPOINT_CONTROLLERS = frozenset({"istio.io/mesh-controller"})
_MESH_GATEWAYS = frozenset({"istio.io-mesh-controller", "istio.io-eastwest-controller"})


@dataclass(frozen=True, slots=True)
class Waypoint:
    """The waypoint that an object names. `broken` says why it does not serve the object, '' if it does."""

    namespace: str
    name: str
    gateway: Resource | None
    broken: str = ""


class Ambient:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._enrolled: dict[int, Fact[bool]] = {}
        self._labelled: dict[int, Fact[bool]] = {}
        self._waypoints: dict[int, Fact[Waypoint | None]] = {}

    @cached_property
    def installed(self) -> Fact[bool]:
        """Is ambient there at all?"""
        evidence = self.mesh.config.ambient_evidence
        if evidence:
            return Fact.of(True, *evidence)
        if self.mesh.config.installed and self.mesh.settings.complete:
            return Fact.of(False, reason="the installation in the input has no ambient mode")
        return Fact.missing("whether ambient is installed is not in the input")

    def labelled(self, workload: Workload) -> Fact[bool]:
        """Do labels ask for the ambient data plane, whatever the sidecar says?"""
        fact = self._labelled.get(id(workload))
        if fact is None:
            fact = self._labelled[id(workload)] = self._asks(workload)
        return fact

    def enrolled(self, workload: Workload) -> Fact[bool]:
        """Does ztunnel capture the pods?"""
        fact = self._enrolled.get(id(workload))
        if fact is None:
            fact = self._enrolled[id(workload)] = self._decide(workload)
        return fact

    def waypoint_of_service(self, resource: Resource) -> Fact[Waypoint | None]:
        """The waypoint for traffic to a Service or ServiceEntry; None: there is none."""
        fact = self._waypoints.get(id(resource))
        if fact is None:
            if resource.labels.get(MANAGED) in _MESH_GATEWAYS:
                fact = Fact.of(None, resource.place_at("metadata", "labels", MANAGED, part="pair"))
            else:
                labels = resource.get("metadata", "labels")
                fact = self._waypoint(resource, labels, ("metadata",), "service")
            self._waypoints[id(resource)] = fact
        return fact

    def waypoint_of_workload(self, workload: Workload) -> Fact[Waypoint | None]:
        """The waypoint for traffic to the pods themselves; None: there is none."""
        fact = self._waypoints.get(id(workload))
        if fact is None:
            metadata = workload.pod_metadata
            labels = metadata.get("labels") if metadata is not None else None
            path = (*workload.path, "metadata")
            fact = self._waypoint(workload.resource, labels, path, "workload")
            self._waypoints[id(workload)] = fact
        return fact

    def waypoint_of_namespace(self, namespace: str) -> Fact[Waypoint | None]:
        """The waypoint that a namespace names for what is in it, whatever traffic it serves."""
        labels = self.mesh.namespaces
        name, home = labels.label(namespace, USE_WAYPOINT), labels.label(namespace, USE_WAYPOINT_NAMESPACE)
        return self._named(name, home, namespace, "", own=False)

    def ingress_uses_waypoint(self, service: Resource) -> Fact[bool]:
        """Do ingress gateways send requests for the service through its waypoint?"""
        node = service.get("metadata", "labels", INGRESS_USE_WAYPOINT)
        if isinstance(node, Scalar):
            place = service.place_at("metadata", "labels", INGRESS_USE_WAYPOINT, part="pair")
            written = label_value(node, place)
        else:
            written = self.mesh.namespaces.label(service.ns, INGRESS_USE_WAYPOINT)
        if not written.known:
            return Fact.missing(written.reason, *written.because)
        return Fact.of(
            written.value in ("true", "True", "TRUE", "t", "T", "1"),
            *written.because, certain=written.certain,
        )  # fmt: skip

    # -- enrolment --------------------------------------------------------------------------------

    def _decide(self, workload: Workload) -> Fact[bool]:
        asks = self.labelled(workload)
        if not asks.is_(True):
            return asks
        if self.installed.is_(False):
            return Fact.of(False, *asks.because, reason=self.installed.reason)
        injected = self.mesh.injection.of(workload)
        if injected.known and injected.value is not None and "sidecar" in injected.value.templates:
            return Fact.of(False, *injected.because, reason="the pod has a sidecar", certain=injected.certain)
        if not injected.known:
            return Fact.missing(f"sidecar or ambient: {injected.reason}", *injected.because, *asks.because)
        return asks if self.installed.known else asks.uncertain("A6")

    def _asks(self, workload: Workload) -> Fact[bool]:
        if workload.host_network:
            place = workload.pod_place("spec", "hostNetwork", part="pair")
            return Fact.of(False, place, reason="pods on the host network are not captured")
        if STATUS in workload.annotations:
            place = workload.pod_place("metadata", "annotations", STATUS, part="key")
            return Fact.of(False, place, reason="the manifest says that a sidecar was injected")
        if workload.resource.kind == "Pod" and workload.annotations.get(REDIRECTION) == "enabled":
            place = workload.pod_place("metadata", "annotations", REDIRECTION, part="pair")
            return Fact.of(True, place, certain=False, reason="the CNI agent says that it captured the pod")
        if workload.namespace in EXCLUDED_NAMESPACES or workload.labels.get("app") == "ztunnel":
            return Fact.of(False, workload.resource.place(), reason="the CNI agent leaves it alone")
        selectors = self.mesh.config.injector_value("cni", "ambient", "enablementSelectors")
        if selectors.known and isinstance(selectors.value, list):
            return self._selected(workload, selectors.value)
        mode = pod_label(workload, MODE)
        if not mode.known:
            return Fact(mode.state, None, mode.because, False, mode.reason)
        if mode.value in ("ambient", "none"):
            return Fact.of(mode.value == "ambient", *mode.because)
        inherited = self.mesh.namespaces.label(workload.namespace, MODE)
        if not inherited.known:
            return Fact(inherited.state, None, inherited.because, False, inherited.reason)
        return Fact.of(inherited.value == "ambient", *inherited.because, certain=inherited.certain)

    def _selected(self, workload: Workload, selectors: list[Any]) -> Fact[bool]:
        answer = any_of(
            *(
                all_of(
                    selects(item.get("podSelector"), lambda key: pod_label(workload, key)),
                    selects(
                        item.get("namespaceSelector"),
                        lambda key: self.mesh.namespaces.label(workload.namespace, key),
                    ),
                )
                for item in selectors
                if isinstance(item, dict)
            )
        )
        if answer is None:
            return Fact.missing("whether the enablement selectors select the pod is not in the input")
        return Fact.of(answer, reason="the enablement selectors of the CNI agent")

    # -- waypoints --------------------------------------------------------------------------------

    def _waypoint(
        self, resource: Resource, written: Node | None, metadata: tuple[str, ...], kind: str
    ) -> Fact[Waypoint | None]:
        if isinstance(written, Scalar) and written.value is not None:
            return Fact.missing("the labels are a template", resource.place(written))
        labels = written if isinstance(written, Mapping) else None
        own = labels is not None and labels.get(USE_WAYPOINT) is not None

        def label(key: str) -> Fact[str | None]:
            if not own:
                return self.mesh.namespaces.label(resource.ns, key)
            node = labels.get(key) if labels is not None else None
            if not isinstance(node, Scalar):
                return Fact.of(None)
            return label_value(node, resource.place_at(*metadata, "labels", key, part="pair"))

        return self._named(label(USE_WAYPOINT), label(USE_WAYPOINT_NAMESPACE), resource.ns, kind, own=own)

    def _named(
        self, name: Fact[str | None], home: Fact[str | None], namespace: str, kind: str, *, own: bool
    ) -> Fact[Waypoint | None]:
        for fact in (name, home):
            if not fact.known:
                unknown = undecided(fact)
                return Fact(unknown.state, None, unknown.because, False, unknown.reason)
        if name.value is None or name.value == "none":
            return Fact.of(None, *name.because, certain=name.certain, reason=name.reason)
        bound = self._bind(home.value or namespace, name.value, namespace, kind, own)
        places = (*name.because, *bound.because)
        if not bound.known:
            return Fact(bound.state, None, places, False, bound.reason)
        return Fact.of(bound.value, *places, certain=name.certain and bound.certain)

    def _bind(self, home: str, name: str, namespace: str, kind: str, own: bool) -> Fact[Waypoint | None]:
        found = self.mesh.scope.find(GATEWAY_API, "Gateway", home, name)
        gateways = [gateway for gateway in found if self.is_waypoint(gateway)]
        if not gateways:
            return self._other_class(found) if found else self._absent(home, name)
        answers = [self._attached(gateway, namespace, kind, own) for gateway in gateways]
        working = [a for a in answers if a.known and a.value is not None and not a.value.broken]
        return working[0] if working else answers[0]

    def _absent(self, home: str, name: str) -> Fact[Waypoint | None]:
        missing = self.mesh.absence.of(GATEWAY_API, "Gateway", home, name)
        if missing is None:
            return Fact.missing(f"the waypoint {home}/{name} is not in the input")
        return Fact.of(Waypoint(home, name, None, "not ready"), certain=missing == "high")

    def _other_class(self, gateways: list[Resource]) -> Fact[Waypoint | None]:
        """Gateways of the name, none of which is known to be a waypoint."""
        gateway = gateways[0]
        classes = {one.text("spec", "gatewayClassName") for one in gateways}
        if not classes <= _INGRESS_CLASSES:
            return Fact.missing(f"whether {gateway.title} is a waypoint is not in the input", gateway.place())
        return Fact.of(Waypoint(gateway.ns, gateway.name, gateway, "no waypoint"), gateway.place())

    def _attached(self, gateway: Resource, namespace: str, kind: str, own: bool) -> Fact[Waypoint | None]:
        place = gateway.place()
        admits = self._admits(gateway, namespace)
        if admits is None:
            return Fact.missing(f"whether {gateway.title} admits {namespace} is not in the input", place)
        home, name = gateway.ns, gateway.name
        if not admits:
            return Fact.of(Waypoint(home, name, gateway, "attachment denied"), place)
        if not kind or self.traffic_of(gateway) in (kind, "all"):
            return Fact.of(Waypoint(home, name, gateway), place)
        if kind == "workload" and not own:
            return Fact.of(None, place, reason=f"{gateway.title} serves no traffic to pods")
        return Fact.of(Waypoint(home, name, gateway, "unsupported traffic type"), place)

    def is_waypoint(self, gateway: Resource) -> bool:
        """Is a Gateway API Gateway a waypoint?"""
        name = gateway.text("spec", "gatewayClassName") or ""
        return name in _WAYPOINT_CLASSES or any(
            gateway_class.text("spec", "controllerName") in _WAYPOINT_CONTROLLERS
            for gateway_class in self.mesh.scope.find(GATEWAY_API, "GatewayClass", "", name)
        )

    def traffic_of(self, gateway: Resource) -> str:
        """What a waypoint serves: service, workload, all or none."""
        written = gateway.labels.get(WAYPOINT_FOR)
        if written is None:
            name = gateway.text("spec", "gatewayClassName") or ""
            for gateway_class in self.mesh.scope.find(GATEWAY_API, "GatewayClass", "", name):
                written = gateway_class.labels.get(WAYPOINT_FOR)
        return written or "service"

    def _admits(self, gateway: Resource, namespace: str) -> bool | None:
        allowed: Mapping | None = None
        for listener in gateway.mappings("spec", "listeners"):
            if text_of(listener.get("protocol")) == "HBONE" and text_of(listener.get("port")) == "15008":
                node = listener.dig("allowedRoutes", "namespaces")
                allowed = node if isinstance(node, Mapping) else None
                break
        source = (text_of(allowed.get("from")) if allowed is not None else None) or "Same"
        if source == "All":
            return True
        if source == "Same":
            return namespace == gateway.ns
        if source != "Selector" or allowed is None:
            return False
        return selects(
            plain_selector(allowed.get("selector")),
            lambda key: self.mesh.namespaces.label(namespace, key),
        )
