"""Checks of the family observability about Telemetry objects (spec traffic 8.6; semantics: 6.1 to 6.5).

What is about the mesh configuration and about labels is in `observability`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from meshlint.checks.gateway_pods import by_labels
from meshlint.checks.traffic.neighbours import same_namespace, surest
from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.readers import apart
from meshlint.mesh.scope import Evidence
from meshlint.mesh.selection import made_elsewhere, nothing_selected
from meshlint.mesh.telemetry import (
    CLIENT,
    LOGGING,
    METRICS,
    SERVER,
    SIGNALS,
    TRACING,
    Telemetry,
    modes_of,
    providers_named,
)
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, is_true, mappings, text_of

Options = Mapping[str, Any]

_WORDS: Final = {TRACING: "tracing", LOGGING: "access logs", METRICS: "metrics"}


# -- telemetry-duplicate ---------------------------------------------------------------------------


def duplicate(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Several Telemetry objects where one counts, or that set the same signal for the same pods."""
    for namespace in dict.fromkeys(t.namespace for t in mesh.telemetry.all):
        yield from _several_wide(mesh, namespace)
    said: set[int] = set()
    for workload, telemetries in mesh.telemetry.of_workloads.items():
        yield from _overlapping(mesh, workload, telemetries, said)


def _several_wide(mesh: Mesh, namespace: str) -> Iterator[Draft]:
    telemetries = mesh.telemetry.wide(namespace)
    scope = "the whole mesh" if namespace == mesh.telemetry.root else f"the namespace {namespace}"
    for telemetry in telemetries:
        others = list(_others(telemetry, telemetries))
        if not others:
            continue
        other, *_ = surest(mesh, telemetry.resource, (other.resource for other in others), lambda r: r)
        yield Draft(
            telemetry.resource.place(),
            f"{telemetry.resource.title} and {other.title} are both for {scope}: Istio reads only "
            "the oldest and ignores the rest, whatever signals they set",
            label="one of several for the same scope",
            help="put their settings into one Telemetry, or select pods",
            related=(("the other one", other.place()),),
            confidence=same_namespace(mesh, telemetry.resource, other),
            equivalents=("IST0160",),
        )


def _others(telemetry: Telemetry, telemetries: list[Telemetry]) -> Iterator[Telemetry]:
    """Those that are no versions of it and that the same control plane reads."""
    for other in telemetries:
        if other.resource.key != telemetry.resource.key and not apart(other.resource, telemetry.resource):
            yield other


def _overlapping(
    mesh: Mesh, workload: Workload, telemetries: list[Telemetry], said: set[int]
) -> Iterator[Draft]:
    for telemetry in telemetries:
        if id(telemetry) in said:
            continue
        others = list(_others(telemetry, telemetries))
        shared = [(t, s) for t in others for s in SIGNALS if t.says(s) and telemetry.says(s)]
        if not others:
            continue
        said.add(id(telemetry))
        other, signal = shared[0] if shared else (others[0], "")
        effect = (
            f"which of them decides about {_WORDS[signal]} depends on which was created first"
            if signal
            else "Istio lays them over each other"
        )
        yield Draft(
            telemetry.resource.place(),
            f"{telemetry.resource.title} and {other.resource.title} both select {workload.title}; {effect}",
            label="selects pods that another Telemetry selects",
            help="let each workload have one Telemetry, or set different signals in them",
            related=(("also selects them", other.resource.place()), ("selected", workload.resource.place())),
            equivalents=("IST0159",),
            confidence=same_namespace(mesh, telemetry.resource, other.resource) if signal else "low",
        )


# -- telemetry-tracing-no-provider -----------------------------------------------------------------


def tracing_no_provider(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Tracing settings with no provider beneath them, which switch tracing off."""
    for telemetry in mesh.telemetry.all:
        entries = telemetry.entries(TRACING)
        modes = [m for m in (CLIENT, SERVER) if any(_speaks(e, m) for e in entries)]
        confidence = _evidence(mesh.telemetry.evidence_below(telemetry))
        if not modes or confidence is None:
            continue
        facts = [mesh.telemetry.tracing_at(telemetry, mode) for mode in modes]
        if not all(f.known and f.certain and not f.value.named for f in facts):
            continue
        place = facts[0].because[0] if facts[0].because else None
        yield Draft(
            telemetry.resource.place_at("spec", TRACING, part="key"),
            f"{telemetry.resource.title} sets tracing without a provider and the mesh has no default one, "
            "so it switches tracing off",
            label="no provider",
            help="name a provider of meshConfig.extensionProviders, or set disableSpanReporting",
            related=(("the default providers of the mesh", place),) if place else (),
            confidence=None if confidence == "high" else confidence,
        )


def _speaks(entry: YamlMapping, mode: str) -> bool:
    """Is an entry for a direction, and does it want spans?"""
    return mode in modes_of(entry.get("match")) and not is_true(entry.get("disableSpanReporting"))


def _evidence(evidence: Evidence) -> str | None:
    return {Evidence.CLOSED: "high", Evidence.LIKELY: "low"}.get(evidence)


# -- telemetry-provider-unknown, telemetry-provider-kind -------------------------------------------


_WITHOUT: Final = {
    TRACING: "tracing is off for what it reaches",
    LOGGING: "the entry is ignored, and what the mesh configuration says about logs stays",
    METRICS: "no metrics come from it",
}


def provider_unknown(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for telemetry in mesh.telemetry.all:
        for signal, name in providers_named(telemetry):
            kind = mesh.telemetry.kind(name.text)
            if not kind.known or kind.value:
                continue
            confidence = _provider_absent(mesh, telemetry, certain=kind.certain)
            if confidence is not None:
                yield _unknown_provider(mesh, telemetry, signal, name, kind.because[:1], confidence)


def _provider_absent(mesh: Mesh, telemetry: Telemetry, *, certain: bool) -> str | None:
    """How sure is it that the mesh of a Telemetry is the one that the input configures?"""
    settings = mesh.settings
    if certain and (settings.complete or settings.mesh_config is not None or settings.platform):
        return "high"
    sources = [s for s in mesh.config.sources if s.mesh is not None]
    if not sources:
        return None
    above = any(
        s.resource is None or s.kind == "configmap" or _above(s.resource.file.path, telemetry)
        for s in sources
    )
    return "high" if certain and above else "low"


def _above(path: str, telemetry: Telemetry) -> bool:
    """Does a file stand in the folder of the object, or in one above it?"""
    folder = path.replace("\\", "/").rpartition("/")[0]
    return not folder or telemetry.resource.file.path.replace("\\", "/").startswith(f"{folder}/")


def _unknown_provider(
    mesh: Mesh, telemetry: Telemetry, signal: str, name: Scalar, because: tuple[Place, ...], confidence: str
) -> Draft:
    fit = [n for n, k in mesh.config.extension_providers.value.items() if mesh.telemetry.capable(k, signal)]
    return Draft(
        telemetry.resource.place(name),
        f"{telemetry.resource.title} names the provider {name.text} for {_WORDS[signal]}, which the mesh "
        f"configuration does not define: {_WITHOUT[signal]}",
        label="no such provider",
        help=f"use one of {', '.join(sorted(fit))}, or define it in meshConfig.extensionProviders"
        if fit
        else "define it in meshConfig.extensionProviders",
        related=tuple(("the providers of the mesh", p) for p in because),
        confidence=None if confidence == "high" else confidence,
    )


def provider_kind(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for telemetry in mesh.telemetry.all:
        for signal, name in providers_named(telemetry):
            kind = mesh.telemetry.kind(name.text)
            if not kind.known or not kind.value or mesh.telemetry.capable(kind.value, signal) is not False:
                continue
            what = f"is made by {kind.value}" if kind.value.lower() != name.text.lower() else "is built in"
            lightstep = signal == TRACING and kind.value == "lightstep"
            yield Draft(
                telemetry.resource.place(name),
                f"{telemetry.resource.title} uses the provider {name.text} for {_WORDS[signal]}, but it "
                f"{what} and cannot do that: {_WITHOUT[signal]}",
                label=f"no provider of {_WORDS[signal]}",
                help=f"name a provider that takes {_WORDS[signal]}: {_KINDS[signal]}",
                equivalents=("IST0002",) if lightstep else (),
            )


_KINDS: Final = {
    TRACING: "opentelemetry, zipkin, datadog or skywalking",
    LOGGING: "envoy, or one made by envoyFileAccessLog, envoyOtelAls, envoyHttpAls or envoyTcpAls",
    METRICS: "prometheus",
}


# -- telemetry-disabled-inert ----------------------------------------------------------------------


def disabled_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Entries about access logs that concern no provider, so that nothing changes."""
    for telemetry in mesh.telemetry.all:
        for index, entry in enumerate(telemetry.entries(LOGGING)):
            if mappings(entry.get("providers")) or not _nobody(mesh, telemetry, index):
                continue
            draft = _inert(mesh, telemetry, entry)
            if draft is not None:
                yield draft


def _nobody(mesh: Mesh, telemetry: Telemetry, index: int) -> bool:
    """Does no entry before this one name a provider, in the object or beneath it?"""
    before = [*telemetry.entries(LOGGING)[:index]]
    beneath = [e for layer in mesh.telemetry.below(telemetry) for t in layer for e in t.entries(LOGGING)]
    return not any(mappings(entry.get("providers")) for entry in (*before, *beneath))


def _inert(mesh: Mesh, telemetry: Telemetry, entry: YamlMapping) -> Draft | None:
    defaults = mesh.telemetry.defaults(LOGGING)
    if not defaults.known or defaults.value:
        return None
    off = entry.get("disabled")
    disabled = isinstance(off, Scalar) and off.value is True
    file = mesh.config.setting("accessLogFile")
    writes = bool(file.known and file.value)
    if disabled and not writes:
        return None
    below = _evidence(mesh.telemetry.evidence_below(telemetry))
    confidence = below if defaults.certain else "low"
    if confidence is None:
        return None
    effect = "logs go on" if disabled else "the logs are as the mesh configuration says"
    return Draft(
        telemetry.resource.place_at("disabled", part="pair", inside=entry)
        if disabled
        else telemetry.resource.place_at("spec", LOGGING, part="key"),
        f"{telemetry.resource.title} {'switches off' if disabled else 'sets'} access logs without naming a "
        f"provider, and the mesh has no default one: the entry is for nobody, {effect}",
        label="concerns no provider",
        help="name the provider, such as envoy for the log that the proxy writes to its output",
        related=tuple(("logs are written because of this", p) for p in file.because[:1]) if writes else (),
        equivalents=() if disabled else ("IST0157",),
        confidence=None if confidence == "high" else confidence,
    )


# -- telemetry-metrics-lost, metrics-cardinality ---------------------------------------------------

_TCP: Final = ("TCP_OPENED_CONNECTIONS", "TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES")
_GRPC: Final = ("GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES")
_METRICS: Final = (
    "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE", *_TCP, *_GRPC,
)  # fmt: skip
#: metrics without which the graph, health or error rates are gone
_VITAL: Final = frozenset({"REQUEST_COUNT", "REQUEST_DURATION", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES"})
#: tags by which graphs find edges and group nodes
_TAGS: Final = frozenset(
    {
        "source_cluster", "source_workload_namespace", "source_workload", "source_canonical_service",
        "source_canonical_revision", "destination_cluster", "destination_service_namespace",
        "destination_service", "destination_service_name", "destination_workload_namespace",
        "destination_workload", "destination_canonical_service", "destination_canonical_revision",
        "request_protocol", "response_code", "grpc_response_status", "response_flags", "reporter",
    }
)  # fmt: skip


def metrics_lost(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Metrics or tags that dashboards and Kiali's graph need and that an object takes away."""
    for telemetry in mesh.telemetry.all:
        overrides = [
            o for e in telemetry.entries(METRICS) if _prometheus(e) for o in mappings(e.get("overrides"))
        ]
        yield from _without_metrics_provider(mesh, telemetry)
        yield from _lost_metrics(telemetry, overrides)
        for override in overrides:
            yield from _lost_tags(telemetry, override)


def _prometheus(entry: YamlMapping) -> bool:
    names = [(text_of(p.get("name")) or "").lower() for p in mappings(entry.get("providers"))]
    return not names or "prometheus" in names


def _without_metrics_provider(mesh: Mesh, telemetry: Telemetry) -> Iterator[Draft]:
    """Settings of metrics in a mesh whose list of default providers is written as empty."""
    entries = telemetry.entries(METRICS)
    layers = [*mesh.telemetry.below(telemetry), [telemetry]]
    named = (mappings(e.get("providers")) for layer in layers for t in layer for e in t.entries(METRICS))
    defaults = mesh.config.setting("defaultProviders", METRICS)
    if entries and not any(named) and defaults.is_([]):
        confidence = _evidence(mesh.telemetry.evidence_below(telemetry))
        if confidence is not None:
            yield Draft(
                telemetry.resource.place_at("spec", METRICS, part="key"),
                f"{telemetry.resource.title} sets metrics without a provider, and the mesh has no default "
                "one: there are no metrics for it to change",
                label="no provider",
                help="name the provider, such as prometheus",
                related=tuple(("no default providers", p) for p in defaults.because[:1]),
                confidence=None if confidence == "high" else confidence,
            )


def _lost_metrics(telemetry: Telemetry, overrides: list[YamlMapping]) -> Iterator[Draft]:
    """Later overrides may bring back what earlier ones take away."""
    off: dict[tuple[str, str], YamlMapping] = {}
    for override in overrides:
        disabled = override.get("disabled")
        if not isinstance(disabled, Scalar) or not isinstance(disabled.value, bool):
            continue
        for metric in _metrics_of(override):
            for mode in modes_of(override.get("match")):
                if disabled.value:
                    off[metric, mode] = override
                else:
                    off.pop((metric, mode), None)
    lost: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for key, override in off.items():
        lost[id(override)].append(key)
    for override in overrides:
        if id(override) in lost:
            yield _lost(telemetry, override, lost[id(override)])


def _metrics_of(override: YamlMapping) -> tuple[str, ...]:
    match = override.get("match")
    if not isinstance(match, YamlMapping):
        return _METRICS
    if match.get("customMetric") is not None:
        return ()
    metric = text_of(match.get("metric")) or "ALL_METRICS"
    return _METRICS if metric == "ALL_METRICS" else (metric,)


def _lost(telemetry: Telemetry, override: YamlMapping, lost: list[tuple[str, str]]) -> Draft:
    metrics = list(dict.fromkeys(metric for metric, _ in lost))
    modes = {mode for _, mode in lost}
    vital = [m for m in metrics if m in _VITAL]
    everything = len(metrics) == len(_METRICS)
    named = "all metrics" if everything else " and ".join(vital or metrics)
    whose = "" if len(modes) == 2 else f" as the {'client' if CLIENT in modes else 'server'} reports them"
    effect = (
        "graphs, error rates and alerts that rest on them go blank"
        if vital
        else "panels about message sizes and counts go blank"
    )
    if vital and len(modes) == 1:
        effect = "only the other side of each call is left to tell about it"
    return Draft(
        telemetry.resource.place_at("disabled", part="pair", inside=override),
        f"{telemetry.resource.title} switches off {named}{whose}: {effect}",
        label="switched off here",
        help="keep what dashboards and Kiali read, and drop tags or other metrics to save cost",
        severity=None if vital and len(modes) == 2 else "info",
        confidence=None if vital else "low",
    )


def _lost_tags(telemetry: Telemetry, override: YamlMapping) -> Iterator[Draft]:
    tags = override.get("tagOverrides")
    if not isinstance(tags, YamlMapping) or not (_VITAL & set(_metrics_of(override))):
        return
    for tag in tags:
        change = tags.get(tag)
        if tag in _TAGS and isinstance(change, YamlMapping) and text_of(change.get("operation")) == "REMOVE":
            yield Draft(
                telemetry.resource.place_at(tag, part="key", inside=tags),
                f"{telemetry.resource.title} removes the tag {tag} from metrics, by which graphs tell calls "
                "apart: their edges or groups fall together",
                label="removed here",
                help="keep the tag; remove tags that are your own, or metrics that nobody reads",
            )


_UNBOUNDED: Final = {
    "request.url_path": "every path", "request.path": "every path and query",
    "request.query": "every query", "request.useragent": "every user agent",
    "request.id": "every request", "request.host": "every Host header",
    "request.time": "every moment", "request.duration": "every duration", "request.referer": "every referrer",
    "source.address": "every client address", "source.port": "every connection",
    "connection.id": "every connection", "connection.requested_server_name": "every SNI",
}  # fmt: skip
_UNBOUNDED_HEADERS: Final = ("id", "token", "authorization", "cookie", "user", "agent", "forwarded", "path")


def cardinality(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Tags with a value for every request, user or path."""
    for telemetry in mesh.telemetry.all:
        for entry in telemetry.entries(METRICS):
            for override in mappings(entry.get("overrides")):
                tags = override.get("tagOverrides")
                for name in tags if isinstance(tags, YamlMapping) else ():
                    change = tags.get(name) if isinstance(tags, YamlMapping) else None
                    if isinstance(change, YamlMapping):
                        yield from _many_values(telemetry, name, change, options["allow"])


def _many_values(telemetry: Telemetry, name: str, change: YamlMapping, allow: list[str]) -> Iterator[Draft]:
    value = text_of(change.get("value"))
    if not value or text_of(change.get("operation")) == "REMOVE":
        return
    if any(fnmatchcase(name, pattern) for pattern in allow):
        return
    why = _unbounded(value)
    if why:
        yield Draft(
            telemetry.resource.place_at("value", inside=change),
            f"{telemetry.resource.title} gives metrics the tag {name} with the value of {value}, which makes "
            f"a series for {why}",
            label="unbounded",
            help="use values from a short list, such as groups of paths, or put it into logs or spans",
        )


def _unbounded(expression: str) -> str:
    """What an expression has a value for each of; '' for one that is computed from it."""
    text = expression.strip()
    header = text.removeprefix("request.headers[").removesuffix("]")
    if header != text and "(" not in text and "?" not in text:
        name = header.strip("'\" ").lower()
        found = any(word in name.replace("_", "-").split("-") for word in _UNBOUNDED_HEADERS)
        return f"every value of the header {name}" if found or name == ":path" else ""
    return _UNBOUNDED.get(text, "")


# -- telemetry-sampling ----------------------------------------------------------------------------


def sampling(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for telemetry in mesh.telemetry.all:
        for entry in telemetry.entries(TRACING):
            node = entry.get("randomSamplingPercentage")
            value = node.value if isinstance(node, Scalar) else None
            if isinstance(node, Scalar) and isinstance(value, int | float) and not isinstance(value, bool):
                yield from _share(mesh, telemetry, node, float(value))


def _share(mesh: Mesh, telemetry: Telemetry, node: Scalar, value: float) -> Iterator[Draft]:
    title = telemetry.resource.title
    if not 0 <= value <= 100:
        yield Draft(
            telemetry.resource.place(node),
            f"{title} samples {node.text} percent of requests, which is no share; the API server refuses it",
            label="not from 0 to 100",
            help="write a share from 0.0 to 100.0",
        )
    elif value == 100 and _production(mesh, telemetry):
        yield Draft(
            telemetry.resource.place(node),
            f"policy: {title} traces every request, which in production costs storage and latency",
            label="every request",
            help="sample a share of a few percent",
            severity="info",
            confidence=None if mesh.settings.production_namespaces else "low",
        )
    elif value == 0 and not _speaks_off(telemetry):
        yield Draft(
            telemetry.resource.place(node),
            f"{title} samples no requests: there are spans only where a caller asks for them",
            label="none by chance",
            help="leave it so if callers force traces, or write the share that is meant",
            severity="info",
        )


def _speaks_off(telemetry: Telemetry) -> bool:
    entries = telemetry.entries(TRACING)
    return not any(_speaks(e, m) for e in entries for m in (CLIENT, SERVER))


def _production(mesh: Mesh, telemetry: Telemetry) -> bool:
    patterns = mesh.settings.production_namespaces
    if telemetry.level == "root" or not patterns:
        return True
    return any(fnmatchcase(telemetry.namespace, pattern) for pattern in patterns)


# -- telemetry-selector-ineffective ----------------------------------------------------------------


def selector_ineffective(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for telemetries in mesh.telemetry.selecting.values():
        for telemetry in telemetries:
            draft = by_labels(mesh, telemetry.resource, telemetry.selector) or _reaches_nobody(
                mesh, telemetry
            )
            if draft is not None:
                yield draft
            else:
                yield from _of_servers_at_gateways(mesh, telemetry)


def _of_servers_at_gateways(mesh: Mesh, telemetry: Telemetry) -> Iterator[Draft]:
    """Gateways are clients of the services behind them; nothing that is for servers counts there."""
    pods = mesh.telemetry.selected(telemetry)
    if not pods or not all(mesh.data_planes.of(pod).is_(DataPlane.GATEWAY) for pod in pods):
        return
    for signal in (TRACING, LOGGING):
        for entry in telemetry.resource.mappings("spec", signal):
            if text_of(entry.dig("match", "mode")) == "SERVER":
                yield Draft(
                    telemetry.resource.place_at("match", "mode", inside=entry),
                    f"{telemetry.resource.title} sets {_WORDS[signal]} for servers, and the pods that it "
                    f"selects, such as {pods[0].title}, are a gateway: gateways are clients alone",
                    label="not for gateways",
                    help="write CLIENT, or leave match out",
                    equivalents=(),
                )


def _reaches_nobody(mesh: Mesh, telemetry: Telemetry) -> Draft | None:
    selector, namespace = telemetry.selector, telemetry.namespace
    elsewhere = _out_of_reach(mesh, telemetry)
    if elsewhere is not None:
        reason = f"and in the root namespace a selector is for its own pods: {elsewhere.title} is not reached"
        advice, confidence = "move it to the namespace of the pods", "medium"
    else:
        reason, advice = "so it changes nothing", "correct the labels of the selector, or delete the object"
        confidence = nothing_selected(mesh, selector, namespace) or ""
    if not confidence:
        return None
    return Draft(
        telemetry.resource.place_at("spec", "selector", "matchLabels"),
        f"{telemetry.resource.title} selects {pairs(selector)}, which no pod of {namespace} has, {reason}",
        label="selects no pods here",
        help=advice,
        related=(("has these labels", elsewhere.resource.place()),) if elsewhere is not None else (),
        equivalents=("IST0101",),
        confidence=None if confidence == "high" else confidence,
    )


def _out_of_reach(mesh: Mesh, telemetry: Telemetry) -> Workload | None:
    """A workload of another namespace that an object in the root namespace seems to mean."""
    if telemetry.namespace != mesh.telemetry.root or made_elsewhere(mesh, telemetry.selector):
        return None
    if mesh.telemetry.selected(telemetry):
        return None
    return next(iter(mesh.workloads.matching(telemetry.selector)), None)


def pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())
