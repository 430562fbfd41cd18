"""Which Telemetry objects reach a workload, and what do they make of its spans, logs and metrics?

The layers are those of spec traffic 6.1: the root namespace, the namespace, then what selects the pods.
Each signal is laid over on its own (6.2 to 6.4). Of several objects for one whole namespace only the
oldest counts, so without creation times a signal that they treat differently is disputed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from meshlint.mesh.attachment import references_of, selector_of
from meshlint.mesh.facts import Fact
from meshlint.mesh.scope import ISTIO_TELEMETRY, Evidence
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, Scalar, mappings, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.workloads import Workload

TRACING: Final = "tracing"
LOGGING: Final = "accessLogging"
METRICS: Final = "metrics"
SIGNALS: Final = (TRACING, LOGGING, METRICS)

CLIENT: Final = "CLIENT"
SERVER: Final = "SERVER"
_MODES: Final = (CLIENT, SERVER)

#: what a provider can do, by the field of the mesh configuration that makes it (spec traffic 6.5)
CAPABILITIES: Final = {
    "opentelemetry": TRACING, "zipkin": TRACING, "datadog": TRACING, "skywalking": TRACING,
    "prometheus": METRICS,
    "envoyFileAccessLog": LOGGING, "envoyHttpAls": LOGGING, "envoyTcpAls": LOGGING, "envoyOtelAls": LOGGING,
    "envoyExtAuthzHttp": "authorization", "envoyExtAuthzGrpc": "authorization", "sds": "certificates",
}  # fmt: skip
#: tracers of earlier releases, with the release that lost them
REMOVED_TRACERS: Final = {"stackdriver": (1, 23), "opencensus": (1, 25), "lightstep": (1, 27)}

#: share of requests that istiod samples where nothing else says so, in percent
DEFAULT_SAMPLING: Final = 1.0
#: since this release no address is assumed for spans
_NO_DEFAULT_COLLECTOR: Final = (1, 22)


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """A Telemetry object. `level` is root, namespace, pods, targets or nowhere.

    One with a selector in the root namespace is for the pods of that namespace alone.
    """

    resource: Resource
    level: str
    selector: dict[str, str]

    @property
    def namespace(self) -> str:
        return self.resource.ns

    def entries(self, signal: str) -> list[Mapping]:
        return mappings(self.resource.get("spec", signal))

    def says(self, signal: str) -> bool:
        return bool(self.entries(signal))


@dataclass(frozen=True, slots=True)
class Tracing:
    """`provider` is '' where spans go nowhere: `legacy` tells that no Telemetry and no default provider
    speaks, so that `defaultConfig.tracing` decides; else tracing is switched off.

    `named` is the provider that was asked for, usable or not; '' where none is.
    `sampling` is in percent; `reported` False: contexts are passed on and no span is sent.
    """

    provider: str
    named: str = ""
    sampling: float = DEFAULT_SAMPLING
    reported: bool = True
    legacy: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Logging:
    """`providers` write logs; with `legacy` the file of the mesh configuration decides instead."""

    providers: frozenset[str] = frozenset()
    legacy: bool = False
    file: str = ""

    @property
    def on(self) -> bool:
        return bool(self.file) if self.legacy else bool(self.providers)


class Telemetries:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.root = mesh.config.root
        self.all = [_read(r, self.root) for r in mesh.scope.of(ISTIO_TELEMETRY, "Telemetry")]
        self.by_resource = {t.resource: t for t in self.all}
        self._wide: dict[str, list[Telemetry]] = defaultdict(list)
        self._selecting: dict[str, list[Telemetry]] = defaultdict(list)
        for telemetry in self.all:
            if telemetry.level in ("root", "namespace"):
                self._wide[telemetry.namespace].append(telemetry)
            elif telemetry.level == "pods":
                self._selecting[telemetry.namespace].append(telemetry)

    def wide(self, namespace: str) -> list[Telemetry]:
        """The objects for a whole namespace (the root namespace: for the mesh), of which one counts."""
        return self._wide.get(namespace, [])

    @property
    def selecting(self) -> dict[str, list[Telemetry]]:
        """Per namespace, the objects that select pods."""
        return self._selecting

    def selected(self, telemetry: Telemetry) -> list[Workload]:
        """The workloads of the input that an object with a selector selects."""
        return self.mesh.workloads.matching(telemetry.selector, telemetry.namespace)

    @cached_property
    def of_workloads(self) -> dict[Workload, list[Telemetry]]:
        """The selecting objects of each workload that has any, in input order."""
        found: dict[Workload, list[Telemetry]] = defaultdict(list)
        for telemetries in self._selecting.values():
            for telemetry in telemetries:
                for workload in self.selected(telemetry):
                    found[workload].append(telemetry)
        return dict(found)

    # -- layers ---------------------------------------------------------------------------------

    def layers(self, workload: Workload) -> list[list[Telemetry]]:
        """What applies to the pods: a list of candidates per layer, the strongest layer last."""
        own = self.of_workloads.get(workload, [])
        layers = [*self._base(workload.namespace), *([t] for t in own)]
        reads = self.mesh.readers.reads
        read = ([t for t in layer if reads(t.resource, workload) is not False] for layer in layers)
        return [layer for layer in read if layer]

    def below(self, telemetry: Telemetry) -> list[list[Telemetry]]:
        """The layers that an object is laid over."""
        if telemetry.level == "root":
            return []
        if telemetry.level == "namespace":
            return self._base(self.root)
        return self._base(telemetry.namespace)

    def _base(self, namespace: str) -> list[list[Telemetry]]:
        names = dict.fromkeys((self.root, namespace))
        return [self._wide[name] for name in names if name in self._wide]

    def evidence_below(self, telemetry: Telemetry) -> Evidence:
        """May what stands below an object be taken as all that there is?"""
        if telemetry.level == "root":
            return Evidence.CLOSED
        names = [self.root] if telemetry.level == "namespace" else [self.root, telemetry.namespace]
        return min((self._evidence(name) for name in names), default=Evidence.CLOSED)

    def _evidence(self, namespace: str) -> Evidence:
        if self._wide.get(namespace):
            return Evidence.CLOSED  # one counts, and it is there
        return self.mesh.scope.evidence(ISTIO_TELEMETRY, "Telemetry", namespace)

    def _entries(self, layers: Iterable[list[Telemetry]], signal: str) -> Fact[list[_Entry]]:
        found: list[_Entry] = []
        for layer in layers:
            telemetry = oldest(layer, signal)
            if telemetry is None:
                return Fact.disputed(
                    f"only one of {len(layer)} Telemetry objects of {layer[0].namespace} counts",
                    *(t.resource.place() for t in layer),
                )
            found += [_Entry(telemetry, node) for node in telemetry.entries(signal)]
        return Fact.of(found)

    # -- tracing --------------------------------------------------------------------------------

    def tracing(self, workload: Workload, mode: str) -> Fact[Tracing]:
        """What happens to the spans of a proxy; gateways use the CLIENT mode."""
        return self._tracing(self.layers(workload), mode)

    def tracing_at(self, telemetry: Telemetry, mode: str) -> Fact[Tracing]:
        """The same where an object is the uppermost layer."""
        return self._tracing([*self.below(telemetry), [telemetry]], mode)

    def _tracing(self, layers: Iterable[list[Telemetry]], mode: str) -> Fact[Tracing]:
        entries, defaults = self._entries(layers, TRACING), self.defaults(TRACING)
        if not entries.known or not defaults.known:
            return _open(entries if not entries.known else defaults)
        provider: str | None = next(iter(defaults.value), None)
        certain, places = defaults.certain, list(defaults.because)
        if not entries.value and provider is None:
            return Fact.of(Tracing("", sampling=self._sampling(), legacy=True), *places, certain=certain)
        reported, sampling = True, self._sampling()
        tags: tuple[str, ...] = ()
        for entry in entries.value:
            if mode not in entry.modes:
                continue
            node = entry.node
            if entry.provider_names:
                provider, places, certain = entry.provider_names[0], [entry.provider_place], True
            reported = not _flag(node.get("disableSpanReporting"), not reported)
            sampling = _number(node.get("randomSamplingPercentage"), sampling)
            written = node.get("customTags")
            if isinstance(written, Mapping):
                tags = tuple(written)
        usable = self.usable(provider, TRACING)
        if usable is None:
            return Fact.missing(f"whether the provider {provider} exists is not in the input", *places)
        return Fact.of(
            Tracing((provider or "") if usable else "", provider or "", sampling, reported, tags=tags),
            *places,
            certain=certain,
        )

    def _sampling(self) -> float:
        for found in (
            self.mesh.config.setting("defaultConfig", "tracing", "sampling"),
            self.mesh.config.feature("PILOT_TRACE_SAMPLING"),
        ):
            if found.known and found.value is not None:
                try:
                    return float(found.value)
                except (TypeError, ValueError):
                    continue
        return DEFAULT_SAMPLING

    @cached_property
    def legacy_exporter(self) -> Fact[bool]:
        """Do spans have an address where neither Telemetry nor a default provider speaks?"""
        enabled = self.mesh.config.setting("enableTracing")
        tracing = self.mesh.config.setting("defaultConfig", "tracing")
        for fact in (enabled, tracing):
            if not fact.known:
                return _open(fact)
        places = (*tracing.because, *enabled.because)
        certain = tracing.certain and enabled.certain
        if enabled.value is False:
            return Fact.of(False, *places, reason="tracing is switched off", certain=certain)
        tracers = (
            [k for k in tracing.value if k in _LEGACY_TRACERS] if isinstance(tracing.value, dict) else []
        )
        assumed = _before(self.mesh.settings.istio_version, _NO_DEFAULT_COLLECTOR)
        return Fact.of(bool(tracers) or assumed, *places, certain=certain)

    # -- logging --------------------------------------------------------------------------------

    def logging(self, workload: Workload, mode: str) -> Fact[Logging]:
        """Who writes access logs of a proxy for one direction."""
        found, defaults = self._entries(self.layers(workload), LOGGING), self.defaults(LOGGING)
        if not found.known or not defaults.known:
            return _open(found if not found.known else defaults)
        entries = [e for e in found.value if mode in e.modes]
        states: dict[str, bool] = {} if entries else dict.fromkeys(defaults.value, True)
        allowed = _in_scope(entries, defaults.value)
        names: tuple[str, ...] = tuple(defaults.value)
        for entry in entries:
            names = entry.provider_names or names
            for name in names:
                if name not in allowed:
                    continue
                usable = self.usable(name, LOGGING)
                if usable is None:
                    return Fact.missing(f"whether the provider {name} exists is not in the input")
                if usable:
                    states[name] = not _flag(entry.node.get("disabled"), False)
        if not states:
            return self._legacy_logging(defaults.certain)
        return Fact.of(Logging(frozenset(n for n, on in states.items() if on)), certain=defaults.certain)

    def _legacy_logging(self, certain: bool) -> Fact[Logging]:
        file = self.mesh.config.setting("accessLogFile")
        if not file.known:
            return _open(file)
        written = file.value if isinstance(file.value, str) else ""
        return Fact.of(Logging(legacy=True, file=written), *file.because, certain=certain and file.certain)

    # -- providers ------------------------------------------------------------------------------

    def defaults(self, signal: str) -> Fact[list[str]]:
        """The default providers of a signal; certain only if the mesh configuration is in the input."""
        found = self.mesh.config.setting("defaultProviders", signal)
        if not found.known:
            return _open(found)
        value = found.value if isinstance(found.value, list) else []
        names = [str(name) for name in value]
        if any(is_placeholder(name) for name in names):
            return Fact.missing("the default providers are templated", *found.because)
        told = bool(self.mesh.settings.platform)  # then its defaults are those of the mesh
        return Fact.of(names, *found.because, certain=found.certain or told)

    @cached_property
    def _providers(self) -> dict[str, str]:
        """Field of each provider by its name in lower case, as names are compared."""
        found = self.mesh.config.extension_providers
        return {name.lower(): field for name, field in found.or_else({}).items()}

    def kind(self, name: str) -> Fact[str]:
        """The field that makes a provider; '' if the mesh has none of that name."""
        found = self.mesh.config.extension_providers
        if not found.known or is_placeholder(name):
            return Fact.missing(found.reason or "the name is templated", *found.because)
        field = self._providers.get(name.lower())
        if field is not None:
            return Fact.of(field, *found.because)
        return Fact.of("", *found.because, certain=found.certain)

    def usable(self, name: str | None, signal: str) -> bool | None:
        """Can a provider take a signal? None: it may exist outside of the input."""
        if name is None:
            return False
        kind = self.kind(name)
        if not kind.known or (not kind.value and not kind.certain):
            return None
        return self.capable(kind.value, signal) is not False if kind.value else False

    def capable(self, field: str, signal: str) -> bool | None:
        """Can a provider of this kind take a signal? None for kinds that nothing is known of."""
        if field in REMOVED_TRACERS:
            if signal == TRACING:
                return _before(self.mesh.settings.istio_version, REMOVED_TRACERS[field])
            return False if signal == METRICS or field != "stackdriver" else None
        capability = CAPABILITIES.get(field)
        return None if capability is None else capability == signal


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One entry of a signal in one object."""

    telemetry: Telemetry
    node: Mapping

    @property
    def modes(self) -> tuple[str, ...]:
        return modes_of(self.node.get("match"))

    @property
    def provider_names(self) -> tuple[str, ...]:
        names = (text_of(p.get("name")) for p in mappings(self.node.get("providers")))
        return tuple(name for name in names if name)

    @property
    def provider_place(self) -> Place:
        return self.telemetry.resource.place_at("providers", 0, "name", inside=self.node)


_LEGACY_TRACERS: Final = frozenset({"zipkin", "datadog", "lightstep", "stackdriver", "openCensusAgent"})


def modes_of(match: Node | None) -> tuple[str, ...]:
    """The directions that a match is for."""
    mode = text_of(match.get("mode")) if isinstance(match, Mapping) else None
    return (mode,) if mode in _MODES else _MODES


def oldest(layer: list[Telemetry], signal: str) -> Telemetry | None:
    """The object of a layer that counts; None where that hangs on unknown creation times."""
    if len(layer) == 1:
        return layer[0]
    created = [t.resource.text("metadata", "creationTimestamp") or "" for t in layer]
    if all(created):
        return min(zip(created, (t.resource.name for t in layer), layer, strict=True), key=lambda c: c[:2])[2]
    written = [[node.plain() for node in t.entries(signal)] for t in layer]
    return layer[0] if all(value == written[0] for value in written) else None


def _in_scope(entries: list[_Entry], defaults: list[str]) -> set[str]:
    """The providers of the last object that names any; the default ones where none does."""
    last = next((e.telemetry for e in reversed(entries) if e.provider_names), None)
    if last is None:
        return set(defaults)
    return {name for e in entries if e.telemetry is last for name in e.provider_names}


def _read(resource: Resource, root: str) -> Telemetry:
    selector = selector_of(resource) or {}
    if references_of(resource):
        level = "targets"
    elif selector:
        level = "pods"
    else:
        level = "root" if resource.ns == root else "namespace"
    return Telemetry(resource, level, selector)


def providers_named(telemetry: Telemetry) -> Iterator[tuple[str, Scalar]]:
    """Every provider that an object names: (signal, name)."""
    for signal in SIGNALS:
        for entry in telemetry.entries(signal):
            for provider in mappings(entry.get("providers")):
                name = provider.get("name")
                if isinstance(name, Scalar) and text_of(name):
                    yield signal, name


def _open(fact: Fact[Any]) -> Fact[Any]:
    """What hangs on an open fact is as open."""
    return Fact(fact.state, None, fact.because, False, fact.reason)


def _flag(node: Node | None, default: bool) -> bool:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    return default


def _number(node: Node | None, default: float) -> float:
    value = node.value if isinstance(node, Scalar) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _before(version: str, release: tuple[int, int]) -> bool:
    """Is the release that the manifests are for older? The newest where the user names none."""
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return False
    return (int(parts[0]), int(parts[1])) < release
