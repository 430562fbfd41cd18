"""Which mTLS mode does each port of a workload accept, and which line decided it? (spec security 3)

PeerAuthentications of the root namespace, of the workload's namespace and those that select the
workload compete; the most specific one that sets a mode wins. Facts name the deciding value first
and then the settings that it overrides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from meshlint.mesh.facts import Fact, State
from meshlint.mesh.labels import REVISION
from meshlint.mesh.scope import ISTIO_SECURITY, Evidence
from meshlint.mesh.workloads import RUN_TIME_LABELS
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Scalar, string_map, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.dataplane import DataPlane
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.workloads import Workload


class Mode(Enum):
    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"
    DISABLE = "DISABLE"
    PLAINTEXT_ONLY = "PLAINTEXT_ONLY"  #: no proxy in the way: no policy applies
    NOT_APPLICABLE = "NOT_APPLICABLE"  #: gateways and waypoints (spec security 3.7)


class Level(Enum):
    """What a PeerAuthentication is for (spec security 3.1)."""

    MESH = "mesh"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"
    IGNORED = "ignored"  #: in the root namespace with a selector


_SETTINGS = {mode.value: mode for mode in (Mode.STRICT, Mode.PERMISSIVE, Mode.DISABLE)}


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A mode that a policy writes; `mode` None is UNSET (inherit), `unknown` is a templated value.

    `port` is None for the policy as a whole. `place` is the value, or the key that lacks one.
    """

    mode: Mode | None
    place: Place
    port: int | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PeerPolicy:
    """A PeerAuthentication. `invalid` says why the API server or Istio's webhook refuses it, '' if not.

    `unsure` is True where the selector hangs on labels that the input does not hold. `read` is None where
    it is for one revision, and the control plane that is asked about may be another.
    """

    resource: Resource
    level: Level
    selector: Mapping[str, str]
    own: Setting
    ports: Mapping[int, Setting]
    invalid: str
    unsure: bool
    read: bool | None = True

    @property
    def settings(self) -> Iterator[Setting]:
        yield self.own
        yield from self.ports.values()

    @property
    def created(self) -> str:
        return self.resource.text("metadata", "creationTimestamp") or ""


class MutualTls:
    def __init__(self, mesh: Mesh, policies: list[PeerPolicy] | None = None) -> None:
        self.mesh = mesh
        self.root: str = mesh.config.root
        if policies is None:
            policies = [_read(r, self.root) for r in mesh.scope.of(ISTIO_SECURITY, "PeerAuthentication")]
        self.policies = policies
        self._revisioned = [policy for policy in policies if REVISION in policy.resource.labels]
        self._views: dict[tuple[bool | None, ...], MutualTls] = {}
        self._namespaces: dict[str, Fact[Mode | None]] = {}
        self._modes: dict[tuple[Workload, int | None], Fact[Mode]] = {}
        self._configured: dict[tuple[Workload, int | None, bool], Fact[Mode]] = {}

    def mode(self, workload: Workload, port: int | None = None) -> Fact[Mode]:
        """What a container port of a workload accepts; without a port, ports that nothing names."""
        known = self._modes.get((workload, port))
        if known is None:
            known = self._modes[workload, port] = self._mode(workload, port)
        return known

    def configured(self, workload: Workload, port: int | None = None, *, ambient: bool = False) -> Fact[Mode]:
        """What the policies say for a port, provided that the pod is in the mesh."""
        key = (workload, port, ambient)
        known = self._configured.get(key)
        if known is None:
            view = self._view(workload) if self._revisioned else self
            known = self._configured[key] = view._compose_all(workload, port, ambient)
        return known

    def _view(self, workload: Workload) -> MutualTls:
        """The policies as the control plane of the pods reads them."""
        answers = tuple(self.mesh.readers.reads(p.resource, workload) for p in self._revisioned)
        view = self._views.get(answers)
        if view is None:
            read = dict(zip(self._revisioned, answers, strict=True))
            kept = [(policy, read.get(policy, True)) for policy in self.policies]
            policies = [replace(policy, read=answer) for policy, answer in kept if answer is not False]
            view = self._views[answers] = MutualTls(self.mesh, policies)
        return view

    def namespace_mode(self, namespace: str) -> Fact[Mode]:
        """The mode of a namespace where no policy selects workloads."""
        layers = [self._namespace_layer(namespace), self.mesh_layer]
        return self._walk(layers, namespace)

    @cached_property
    def mesh_mode(self) -> Fact[Mode]:
        """The mode that the whole mesh starts from."""
        return self._walk([self.mesh_layer], self.root)

    @cached_property
    def mesh_layer(self) -> Fact[Mode | None]:
        """What the mesh-wide policy sets; None where it sets nothing or where there is none."""
        written = _winner(self.mesh_wide)
        if not self.mesh.config.kyma:
            return written
        if self.mesh_wide and not written.is_(Mode.STRICT):
            places = tuple(policy.own.place for policy in self.mesh_wide)
            return Fact.disputed("Kyma keeps the mesh-wide policy STRICT", *places)
        return Fact.of(Mode.STRICT, *written.because, reason="Kyma keeps the mesh-wide policy STRICT")

    @cached_property
    def mesh_wide(self) -> list[PeerPolicy]:
        """Valid policies of the root namespace for the whole mesh."""
        return [p for p in self.policies if p.level is Level.MESH and not p.invalid]

    @cached_property
    def by_namespace(self) -> dict[str, list[PeerPolicy]]:
        """Valid policies for whole namespaces."""
        index: dict[str, list[PeerPolicy]] = defaultdict(list)
        for policy in self.policies:
            if policy.level is Level.NAMESPACE and not policy.invalid:
                index[policy.resource.ns].append(policy)
        return dict(index)

    @cached_property
    def by_workload(self) -> dict[Workload, list[PeerPolicy]]:
        """Valid policies whose selector picks a workload, each found through the label index once."""
        index: dict[Workload, list[PeerPolicy]] = defaultdict(list)
        for policy in self.policies:
            if policy.level is Level.WORKLOAD and not policy.invalid:
                for workload in self.selected(policy):
                    index[workload].append(policy)
        return dict(index)

    @cached_property
    def by_resource(self) -> dict[Resource, PeerPolicy]:
        return {policy.resource: policy for policy in self.policies}

    def selected(self, policy: PeerPolicy) -> list[Workload]:
        """Workloads of the input in the scope of a policy."""
        workloads = self.mesh.workloads
        if policy.level is Level.MESH:
            return workloads.all
        labels = policy.selector
        if policy.unsure:
            labels = {k: v for k, v in labels.items() if k not in RUN_TIME_LABELS and not is_placeholder(v)}
        return workloads.matching(labels, policy.resource.ns)

    def ports(self, workload: Workload) -> list[int | None]:
        """Ports of a workload that something names: container ports, Services, policies; else [None]."""
        registry = self.mesh.registry
        found: dict[int | None, None] = {p.number: None for p in workload.ports if p.protocol == "TCP"}
        for service in registry.services_of(workload):
            targets = (registry.target_port(service, port, workload) for port in service.ports)
            found |= {target.value: None for target in targets if target.known}
        for policy in self.by_workload.get(workload, ()):
            found |= dict.fromkeys(policy.ports)
        return list(found) or [None]

    @cached_property
    def exposed(self) -> dict[Setting, list[tuple[Workload, int | None, Fact[Mode]]]]:
        """Ports that accept plain text, by the written setting that decides so.

        Where the data plane of a pod is unknown, its policies are taken at their word. Versions of one
        policy that disagree each count for what they say.
        """
        settings = {id(s.place.node): s for policy in self.policies for s in policy.settings}
        found: dict[Setting, list[tuple[Workload, int | None, Fact[Mode]]]] = defaultdict(list)
        for workload in self.mesh.workloads.all:
            for port in self.ports(workload):
                fact = self.supposed(workload, port)
                for place in self._responsible(fact):
                    setting = settings.get(id(place.node))
                    if setting is not None:
                        found[setting].append((workload, port, fact))
        return dict(found)

    def supposed(self, workload: Workload, port: int | None) -> Fact[Mode]:
        """As `mode`, taking the policies at their word for pods that may have a sidecar."""
        fact = self.mode(workload, port)
        if fact.known or self.mesh.data_planes.in_mesh(workload) is False:
            return fact
        injected = self.mesh.injection.of(workload)
        if injected.known and not injected.value and not self.mesh.data_planes.in_mesh(workload):
            return fact
        return self.configured(workload, port)

    def _responsible(self, fact: Fact[Mode]) -> Iterable[Place]:
        if fact.is_(Mode.PERMISSIVE, Mode.DISABLE):
            return fact.because[:1]
        if fact.conflict:
            return [place for place in fact.because if self.mesh.scope.alternatives(place.resource)]
        return ()

    def root_evidence(self) -> Evidence:
        """May it be said that there is no mesh-wide policy?"""
        evidence = self.mesh.scope.evidence(ISTIO_SECURITY, "PeerAuthentication", self.root)
        installed = self.mesh.config.installed and not self.mesh.settings.remainder
        return max(evidence, Evidence.LIKELY) if installed else evidence

    def _mode(self, workload: Workload, port: int | None) -> Fact[Mode]:
        from meshlint.mesh.dataplane import DataPlane

        planes = self.mesh.data_planes
        plane = planes.of(workload)
        if not plane.known:
            return self._unsure_plane(workload, port, plane)
        if plane.value is DataPlane.NONE:
            return Fact.of(
                Mode.PLAINTEXT_ONLY, *plane.because, certain=plane.certain, reason="not in the mesh"
            )
        if plane.value in (DataPlane.GATEWAY, DataPlane.WAYPOINT):
            return Fact.of(Mode.NOT_APPLICABLE, *plane.because, reason=plane.value.value)
        captured = planes.captures(workload, port) if port is not None else Fact.of(True)
        if not captured.known:
            return Fact.missing(captured.reason, *captured.because)
        if not captured.value:
            return Fact.of(Mode.PLAINTEXT_ONLY, *captured.because, reason="the port bypasses the proxy")
        return self.configured(workload, port, ambient=plane.value is DataPlane.AMBIENT)

    def _unsure_plane(self, workload: Workload, port: int | None, plane: Fact[DataPlane]) -> Fact[Mode]:
        if self.mesh.data_planes.in_mesh(workload):
            sidecar = self.configured(workload, port)
            if sidecar.known and self.configured(workload, port, ambient=True).is_(sidecar.value):
                return sidecar
        return Fact(plane.state, None, plane.because, False, plane.reason)

    def _compose_all(self, workload: Workload, port: int | None, ambient: bool) -> Fact[Mode]:
        """One answer per policy that may win for the workload; they have to agree."""
        candidates: list[PeerPolicy | None] = [*_contenders(self.by_workload.get(workload, []))]
        compose = self._ambient if ambient else self._sidecar
        answers = [compose(workload, policy, port) for policy in candidates or [None]]
        first = answers[0]
        if all(a.state is first.state and a.or_else(_ANY) is first.or_else(_ANY) for a in answers):
            return first
        places = dict.fromkeys(place for answer in answers for place in answer.because[:1])
        return Fact.disputed("policies that select the workload disagree", *places)

    def _sidecar(self, workload: Workload, policy: PeerPolicy | None, port: int | None) -> Fact[Mode]:
        layers: list[Fact[Mode | None]] = []
        if policy is not None:
            if policy.read is None:
                return _fact_of(policy)
            if policy.unsure:
                return Fact.missing("the selector uses labels that are not in the input", policy.own.place)
            entry = policy.ports.get(port) if port is not None else None
            layers += [_fact(entry)] if entry is not None else []
            layers.append(_fact(policy.own))
        layers += [self._namespace_layer(workload.namespace), self.mesh_layer]
        return self._walk(layers, workload.namespace, explicit=len(layers) - 2)

    def _ambient(self, workload: Workload, policy: PeerPolicy | None, port: int | None) -> Fact[Mode]:
        """Ztunnel knows STRICT or not (spec security 3.4)."""
        parent = self._ambient_parent(workload.namespace)
        if policy is None:
            return parent
        if policy.read is None or policy.unsure or any(setting.unknown for setting in policy.settings):
            return Fact.missing("the policy has values that are not in the input", policy.own.place)
        if policy.own.mode is None:
            return self._ambient_inherited(policy, port, parent, workload.namespace)
        own = _fact(policy.own)
        entry = policy.ports.get(port) if port is not None else None
        if entry is None or entry.mode is None:
            return _binary(own, parent.because)
        if entry.mode is Mode.STRICT and own.value is not Mode.STRICT:
            above = self._namespace_layer(workload.namespace)
            if above.is_(None) and self._ambient_mesh(workload.namespace).is_(Mode.STRICT):
                return Fact.of(Mode.PERMISSIVE, policy.own.place, entry.place, reason=_Q2)
        return _binary(_fact(entry), (policy.own.place, *parent.because))

    def _ambient_inherited(
        self, policy: PeerPolicy, port: int | None, parent: Fact[Mode], namespace: str
    ) -> Fact[Mode]:
        entry = policy.ports.get(port) if port is not None else None
        if not parent.known:
            return parent if entry is None or entry.mode is not Mode.STRICT else _binary(_fact(entry), ())
        if parent.value is not Mode.STRICT:
            strict = entry is not None and entry.mode is Mode.STRICT
            return _binary(_fact(entry), parent.because) if strict and entry is not None else parent
        exempt = [s for s in policy.ports.values() if s.mode is Mode.PERMISSIVE]
        if not exempt:
            return parent
        unset = [p for p in self.by_namespace.get(namespace, ()) if p.own.mode is None]
        if unset and self._namespace_layer(namespace).is_(None):
            return Fact.of(Mode.PERMISSIVE, exempt[0].place, unset[0].own.place, reason=_Q3)
        if entry is not None and entry.mode in (Mode.PERMISSIVE, Mode.DISABLE):
            return _binary(_fact(entry), parent.because)
        return parent

    def _ambient_parent(self, namespace: str) -> Fact[Mode]:
        layers = [self._namespace_layer(namespace), self._ambient_mesh(namespace)]
        found = self._walk(layers, namespace)
        return _binary(found, ()) if found.known else found

    def _ambient_mesh(self, namespace: str) -> Fact[Mode | None]:
        """Quirk Q4: elsewhere, ztunnel's policies leave out a mesh-wide policy with an empty selector."""
        seen = [p for p in self.mesh_wide if p.resource.get("spec", "selector") is None]
        if namespace == self.root or len(seen) == len(self.mesh_wide) or self.mesh.config.kyma:
            return self.mesh_layer
        return _winner(seen)

    def _namespace_layer(self, namespace: str) -> Fact[Mode | None]:
        known = self._namespaces.get(namespace)
        if known is None:
            known = self._namespaces[namespace] = _winner(self.by_namespace.get(namespace, []))
        return known

    def _walk(self, layers: list[Fact[Mode | None]], namespace: str, explicit: int = 0) -> Fact[Mode]:
        """The first layer that sets a mode; `explicit` says how many layers nobody can override."""
        for number, layer in enumerate(layers):
            overridden = tuple(place for below in layers[number + 1 :] for place in below.because)
            if not layer.known:
                return Fact(layer.state, None, (*layer.because, *overridden), False, layer.reason)
            if layer.value is not None:
                certain = number < explicit or self._closed(namespace)
                return Fact.of(layer.value, *layer.because, *overridden, reason=layer.reason, certain=certain)
        unset = tuple(place for layer in layers for place in layer.because)
        if self.mesh_wide:
            return Fact.of(Mode.PERMISSIVE, *unset, reason=_UNSET, certain=self._closed(namespace))
        evidence = self.root_evidence()
        if evidence is Evidence.OPEN:
            return Fact.missing(f"the policies of the root namespace {self.root} are not in the input")
        certain = evidence is Evidence.CLOSED and self._closed(namespace)
        return Fact.of(Mode.PERMISSIVE, *unset, reason=_DEFAULT, certain=certain)

    def _closed(self, namespace: str) -> bool:
        return self.mesh.scope.evidence(ISTIO_SECURITY, "PeerAuthentication", namespace) is Evidence.CLOSED


_ANY = Mode.NOT_APPLICABLE
_UNSET = "no policy sets a mode, and the default is PERMISSIVE"
_DEFAULT = "there is no policy, and the default is PERMISSIVE"
_Q2 = "ztunnel skips the port rule of a policy that is not STRICT itself while only the mesh is (Q2)"
_Q3 = "the namespace's policy without a mode makes ztunnel drop the strict policy (Q3)"


def _fact(setting: Setting | None) -> Fact[Mode | None]:
    if setting is None:
        return Fact.of(None)
    if setting.unknown:
        return Fact.missing("the mode is a template", setting.place)
    return Fact.of(setting.mode, setting.place, reason=setting.place.resource.title)


def _fact_of(policy: PeerPolicy) -> Fact[Any]:
    if policy.read is None:
        return Fact.missing("whether this revision reads the policy is not in the input", policy.own.place)
    return _fact(policy.own)


def _winner(policies: list[PeerPolicy]) -> Fact[Mode | None]:
    """The mode of the policy that wins in one scope: the oldest, or all of them where they agree."""
    facts = [_fact_of(policy) for policy in _contenders(policies)]
    if not facts:
        return Fact.of(None)
    places = tuple(fact.because[0] for fact in facts)
    unknown = next((fact for fact in facts if not fact.known), None)
    if unknown is not None:
        return Fact.missing(unknown.reason, *places)
    if len({fact.value for fact in facts}) > 1:
        return Fact.disputed("several policies of one scope disagree, and the oldest wins", *places)
    return Fact.of(facts[0].value, *places, reason=facts[0].reason)


def _contenders(policies: list[PeerPolicy]) -> list[PeerPolicy]:
    """The oldest policy where all creation times are written, else all: nobody knows which it is."""
    if len(policies) < 2 or not all(policy.created for policy in policies):
        return policies
    if len({policy.resource.key for policy in policies}) < len(policies):
        return policies
    return [min(policies, key=lambda p: (p.created, p.resource.name))]


def _binary(fact: Fact[Mode] | Fact[Mode | None], overridden: Iterable[Place]) -> Fact[Mode]:
    """STRICT or PERMISSIVE: nothing turns off the tunnel between proxies of an ambient mesh."""
    strict = fact.value is Mode.STRICT
    because = (*fact.because, *overridden)
    value = Mode.STRICT if strict else Mode.PERMISSIVE
    return Fact(State.KNOWN, value, because, fact.certain, fact.reason, fact.assumptions)


def _read(resource: Resource, root: str) -> PeerPolicy:
    selector = string_map(resource.get("spec", "selector", "matchLabels"))
    ports: dict[int, Setting] = {}
    problems: list[str] = []
    written = resource.get("spec", "portLevelMtls")
    if isinstance(written, MappingNode):
        for key, value in written.index.values():
            number = int(key.text) if key.text.isdecimal() else None
            if number is None or not 0 < number < 65536:
                if not is_placeholder(key.text):
                    problems.append(f"{key.text} is no port number")
                continue
            mode = value.get("mode") if isinstance(value, MappingNode) else None
            ports[number] = _setting(resource, mode, Place(resource, key), number, problems.append)
        if not selector:
            problems.append("portLevelMtls needs a selector")
    node = resource.get("spec", "mtls", "mode")
    own = _setting(resource, node, resource.place_at("spec", "mtls", part="key"), None, problems.append)
    return PeerPolicy(
        resource=resource,
        level=_level(resource, root, selector),
        selector=selector,
        own=own,
        ports=ports,
        invalid="; ".join(problems),
        unsure=any(key in RUN_TIME_LABELS or is_placeholder(value) for key, value in selector.items()),
        read=None if REVISION in resource.labels else True,
    )


def _level(resource: Resource, root: str, selector: Mapping[str, str]) -> Level:
    if resource.ns == root:
        return Level.IGNORED if selector else Level.MESH
    return Level.WORKLOAD if selector else Level.NAMESPACE


def _setting(
    resource: Resource, node: object, empty: Place, port: int | None, problem: Callable[[str], None]
) -> Setting:
    if not isinstance(node, Scalar):
        return Setting(None, empty, port)
    text, place = text_of(node), resource.place(node)
    if text is None or is_placeholder(text):
        return Setting(None, place, port, unknown=True)
    if text != "UNSET" and text not in _SETTINGS:
        problem(f"{text} is no mode")
    return Setting(_SETTINGS.get(text), place, port)
