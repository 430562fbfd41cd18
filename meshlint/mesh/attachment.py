"""Which proxies does a policy with a selector or targetRefs attach to? (spec security 4.1, 6.3)

One matcher serves RequestAuthentication, AuthorizationPolicy, Telemetry and WasmPlugin. Policies are
indexed by namespace and label once, so that a proxy is answered without scanning them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from meshlint.mesh.labels import GATEWAY_NAME, MANAGED, REVISION
from meshlint.mesh.scope import GATEWAY_API, ISTIO_NETWORKING
from meshlint.mesh.workloads import RUN_TIME_LABELS, Workload
from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, mappings, string_map, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

WAYPOINT_CONTROLLER = "istio.io-mesh-controller"


class ProxyKind(Enum):
    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    WAYPOINT = "waypoint"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An enforcement point.

    `labels` are those of its pods; with `complete` False the pods are not in the input and only a
    part of the labels is known. `namespace` is '' where it is not known. `gateway` is the name of
    the Gateway API Gateway that it serves, `fronted` what a waypoint fronts: (kind, namespace, name).
    """

    kind: ProxyKind
    namespace: str
    labels: MappingOf[str, str] = field(default_factory=dict)
    complete: bool = True
    workload: Workload | None = None
    gateway: str = ""
    fronted: frozenset[tuple[str, str, str]] = frozenset()

    @property
    def identity(self) -> tuple[object, ...]:
        if self.workload is not None:
            return (id(self.workload),)
        return (self.kind, self.namespace, frozenset(self.labels.items()), self.gateway, self.fronted)


@dataclass(frozen=True, slots=True)
class Reference:
    group: str
    kind: str
    name: str
    namespace: str
    node: Mapping


@dataclass(frozen=True, slots=True)
class Attached:
    """`policies` attach; `maybe` attach or not, depending on labels that the input does not show."""

    policies: tuple[Resource, ...] = ()
    maybe: tuple[Resource, ...] = ()


class Attachments:
    """The policies of one kind, found by the proxy that they attach to."""

    def __init__(self, mesh: Mesh, policies: Iterable[Resource]) -> None:
        self.mesh = mesh
        self.root = mesh.config.root
        self.policies = list(policies)
        self._everywhere: dict[str, list[Resource]] = defaultdict(list)
        self._selecting: dict[str, list[Resource]] = defaultdict(list)
        self._by_pair: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
        self._vague: dict[str, list[Resource]] = defaultdict(list)
        self._by_target: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
        self._workloads: dict[int, list[Workload]] = {}
        self._selected: dict[tuple[object, ...], list[Workload]] = {}
        self._cache: dict[tuple[object, ...], Attached] = {}
        self._shared: dict[str, Attached] = {}
        self._revisioned = any(REVISION in policy.labels for policy in self.policies)
        for policy in self.policies:
            self._index(policy)

    def of(self, proxy: Proxy) -> Attached:
        """The policies that a proxy enforces."""
        key = proxy.identity
        found = self._cache.get(key)
        if found is None:
            found = self._attached(proxy)
            found = self._cache[key] = self._read(found, proxy.workload) if self._revisioned else found
        return found

    def of_workload(self, workload: Workload) -> Attached:
        return self.of(proxy_of(workload))

    def workloads_of(self, policy: Resource) -> list[Workload]:
        """The workloads of the input whose own proxies enforce the policy, without doubt.

        Policies with the same selector share one list.
        """
        found = self._workloads.get(id(policy))
        if found is None:
            found = self._find_workloads(policy)
            if REVISION in policy.labels:
                found = [w for w in found if self.mesh.readers.reads(policy, w)]
            self._workloads[id(policy)] = found
        return found

    def _index(self, policy: Resource) -> None:
        refs = references_of(policy)
        if refs:
            for ref in refs:
                self._by_target[ref.kind, policy.ns, ref.name].append(policy)
            return
        selector = selector_of(policy)
        if not selector:
            self._everywhere[policy.ns].append(policy)
            return
        self._selecting[policy.ns].append(policy)
        pair = next((p for p in selector.items() if not _late(*p)), None)
        if pair is None:
            self._vague[policy.ns].append(policy)
        else:
            self._by_pair[(policy.ns, *pair)].append(policy)

    def _attached(self, proxy: Proxy) -> Attached:
        if proxy.kind is ProxyKind.WAYPOINT:
            return Attached(tuple(self._targeting(proxy)))
        if not self._selecting and not self._by_target and proxy.namespace:
            return self._of_all(proxy.namespace)
        found = list(self._targeting(proxy)) if proxy.gateway else []
        maybe: list[Resource] = []
        for namespace in dict.fromkeys((self.root, proxy.namespace)):
            found += self._everywhere.get(namespace, ())
            for policy in self._candidates(namespace, proxy):
                answer = selects(policy, proxy)
                if answer:
                    found.append(policy)
                elif answer is None:
                    maybe.append(policy)
        if not proxy.namespace:
            maybe += [p for p in self.policies if p.ns != self.root and selects(p, proxy) is not False]
        return Attached(tuple(found), tuple(maybe))

    def _of_all(self, namespace: str) -> Attached:
        """Where no policy chooses among the pods of a namespace, all of its proxies share one answer."""
        if namespace not in self._shared:
            homes = dict.fromkeys((self.root, namespace))
            found = tuple(policy for home in homes for policy in self._everywhere.get(home, ()))
            self._shared[namespace] = Attached(found)
        return self._shared[namespace]

    def _read(self, attached: Attached, workload: Workload | None) -> Attached:
        """What the control plane of the proxy reads of it; what it only may read is doubtful."""
        answers = [(policy, self.mesh.readers.reads(policy, workload)) for policy in attached.policies]
        doubtful = [policy for policy, answer in answers if answer is None]
        maybe = [p for p in attached.maybe if self.mesh.readers.reads(p, workload) is not False]
        return Attached(tuple(policy for policy, answer in answers if answer), (*doubtful, *maybe))

    def _candidates(self, namespace: str, proxy: Proxy) -> Iterable[Resource]:
        """Policies of a namespace whose selector could match; all where labels are not all known."""
        selecting = self._selecting.get(namespace, [])
        if not proxy.complete or len(selecting) <= len(proxy.labels):
            return selecting
        found = [p for pair in proxy.labels.items() for p in self._by_pair.get((namespace, *pair), ())]
        return [*found, *self._vague.get(namespace, ())]

    def _targeting(self, proxy: Proxy) -> Iterable[Resource]:
        found: dict[int, Resource] = {}
        if proxy.gateway:
            for policy in self._by_target.get(("Gateway", proxy.namespace, proxy.gateway), ()):
                if any(_targets_gateway(r, proxy) for r in references_of(policy)):
                    found[id(policy)] = policy
        if proxy.kind is ProxyKind.WAYPOINT:
            for kind, namespace, name in sorted(proxy.fronted):
                for policy in self._by_target.get((kind, namespace, name), ()):
                    found[id(policy)] = policy
            for policy in self._by_target.get(("GatewayClass", self.root, "istio-waypoint"), ()):
                found[id(policy)] = policy
        return found.values()

    def _find_workloads(self, policy: Resource) -> list[Workload]:
        if references_of(policy):
            names = {r.name for r in references_of(policy) if r.kind == "Gateway" and r.group == GATEWAY_API}
            return [
                w
                for name in sorted(names)
                for w in self.mesh.workloads.matching({GATEWAY_NAME: name}, policy.ns)
                if not _is_waypoint(w)
            ]
        selector = selector_of(policy) or {}
        key = (policy.ns, frozenset(selector.items()))
        if key not in self._selected:
            namespace = None if policy.ns == self.root else policy.ns
            found = self.mesh.workloads.matching(selector, namespace)
            self._selected[key] = [w for w in found if not _is_waypoint(w)]
        return self._selected[key]


def proxy_of(workload: Workload) -> Proxy:
    """The proxy in (or that is) a pod of the input."""
    gateway = workload.labels.get(GATEWAY_NAME, "")
    kind = ProxyKind.SIDECAR
    if _is_waypoint(workload):
        kind = ProxyKind.WAYPOINT
    elif gateway:
        kind = ProxyKind.GATEWAY
    return Proxy(kind, workload.namespace, workload.labels, workload=workload, gateway=gateway)


def selects(policy: Resource, proxy: Proxy) -> bool | None:
    """Does the selector of a policy match the pods of a proxy? None if that hangs on unseen labels."""
    unknown = False
    for key, value in (selector_of(policy) or {}).items():
        if key in proxy.labels:
            if proxy.labels[key] == value:
                continue
            if not is_placeholder(value) and not is_placeholder(proxy.labels[key]):
                return False
            unknown = True
        elif proxy.complete and not _late(key, ""):
            return False
        else:
            unknown = True
    return None if unknown else True


def selector_of(policy: Resource) -> dict[str, str] | None:
    """Labels of the selector; None where there is no selector, {} where it has no labels."""
    if policy.mapping("spec", "selector") is None:
        return None
    return string_map(policy.get("spec", "selector", "matchLabels"))


def references_of(policy: Resource) -> tuple[Reference, ...]:
    """targetRefs, or targetRef where there are none."""
    spec = policy.mapping("spec")
    if spec is None or not ("targetRefs" in spec.index or "targetRef" in spec.index):
        return ()
    many = mappings(spec.get("targetRefs"))
    one = spec.get("targetRef")
    nodes = many or ([one] if isinstance(one, Mapping) else [])
    return tuple(
        Reference(
            text_of(node.get("group")) or "",
            text_of(node.get("kind")) or "",
            text_of(node.get("name")) or "",
            text_of(node.get("namespace")) or "",
            node,
        )
        for node in nodes
    )


def attachment_problem(policy: Resource) -> str:
    """Why the API server refuses the way in which a policy names its targets; '' if it does not."""
    spec = policy.mapping("spec")
    if spec is None:
        return ""
    ways = [key for key in ("selector", "targetRef", "targetRefs") if spec.get(key) is not None]
    if len(ways) > 1:
        return f"{' and '.join(ways)} exclude each other"
    for ref in references_of(policy):
        if not ref.kind or not ref.name:
            return "a target reference needs kind and name"
        if ref.namespace:
            return "a target reference must not name a namespace"
        if (ref.group, ref.kind) not in _TARGETS and not is_placeholder(ref.kind + ref.group):
            return f"{ref.kind} cannot be the target of a policy"
    return ""


_TARGETS = frozenset(
    {
        ("", "Service"),
        ("core", "Service"),
        (ISTIO_NETWORKING, "ServiceEntry"),
        (GATEWAY_API, "Gateway"),
        (GATEWAY_API, "GatewayClass"),
    }
)


def _targets_gateway(ref: Reference, proxy: Proxy) -> bool:
    return (
        ref.group == GATEWAY_API
        and ref.kind == "Gateway"
        and ref.name == proxy.gateway
        and ref.namespace in ("", proxy.namespace)
    )


def _late(key: str, value: str) -> bool:
    """Is this label of a selector only known at run time, or made by a template?"""
    return key in RUN_TIME_LABELS or is_placeholder(value) or is_placeholder(key)


def _is_waypoint(workload: Workload) -> bool:
    return workload.labels.get(MANAGED) == WAYPOINT_CONTROLLER
