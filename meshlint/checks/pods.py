"""Do pods of the mesh say when they are ready, and do they get the time to drain? (spec traffic 4.7)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane, proxy_config
from meshlint.mesh.facts import Fact
from meshlint.mesh.labels import PROXY_CONFIG
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.workloads import Workload
from meshlint.source.durations import SECOND, go_duration, spell
from meshlint.source.nodes import Scalar, int_of, text_of

Options = Mapping[str, Any]

_DEFAULT_GRACE: Final = 30
_DEFAULT_DRAIN: Final = 5 * SECOND
#: with it the proxy waits for its connections and not for the duration
_EXIT_EARLY: Final = "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"
_PASSING: Final = frozenset({"Job", "CronJob", "Pod"})


# -- readiness-probe-missing ----------------------------------------------------------------------


def readiness(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Workloads behind a Service of the mesh, none of whose containers has a readiness probe."""
    for workload in mesh.workloads.all:
        if workload.kind in _PASSING or workload.partial or workload.control_plane:
            continue
        containers = workload.app_containers
        if not containers or any(c.get("readinessProbe") is not None for c in containers):
            continue
        if any(text_of(c.get("image")) in (None, "auto") for c in containers):
            continue
        services = mesh.registry.services_of(workload)
        if services and mesh.data_planes.of(workload).is_(DataPlane.SIDECAR, DataPlane.AMBIENT):
            yield Draft(
                workload.pod_place("spec", "containers", part="key"),
                f"policy: {workload.title} has no readiness probe: {services[0].resource.title} sends "
                "requests to new pods before the application listens, and their proxies answer them with 503",
                label="ready at once",
                help="add a readinessProbe to the container that serves",
                related=(("sends requests to the pods", services[0].resource.place()),),
            )


# -- drain-beyond-grace ---------------------------------------------------------------------------


def drain(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Pods that are killed before their proxy has drained."""
    for workload in mesh.workloads.all:
        node = workload.pod_spec.get("terminationGracePeriodSeconds") if workload.pod_spec else None
        grace = _DEFAULT_GRACE if node is None else int_of(node)
        if grace is None or not mesh.data_planes.of(workload).is_(DataPlane.SIDECAR):
            continue
        length = _drain(mesh, workload)
        if not length.known or grace * SECOND >= length.value:
            continue
        place = workload.pod_place("spec", "terminationGracePeriodSeconds", part="pair")
        yield Draft(
            place if node is not None or not length.because else length.because[0],
            f"{workload.title} is killed {grace}s after it was told to stop, before its proxy has drained "
            f"for {spell(length.value)}: connections break",
            label=f"less than the {spell(length.value)} of terminationDrainDuration",
            help="set terminationGracePeriodSeconds above terminationDrainDuration of the proxy",
            related=tuple(("the proxy drains so long", at) for at in length.because[:1]) if node else (),
        )


def _drain(mesh: Mesh, workload: Workload) -> Fact[int]:
    """Nanoseconds for which the sidecar drains."""
    annotated = workload.annotation_node(PROXY_CONFIG)
    if annotated is not None:
        place = workload.pod_place("metadata", "annotations", PROXY_CONFIG, part="key")
        config = proxy_config(workload)
        if config is None:
            return Fact.missing("the annotation is a template", place)
        if _is_true(text_of(config.dig("proxyMetadata", _EXIT_EARLY))):
            return Fact.missing("the proxy ends with its last connection", place)
        written = config.get("terminationDrainDuration")
        if isinstance(written, Scalar):
            return _length(written.text, Fact.of("", place))
    mesh_config = mesh.injection.config_of(workload)
    early = mesh_config.setting("defaultConfig", "proxyMetadata", _EXIT_EARLY)
    if not early.known or _is_true(str(early.value)):
        return Fact.missing("the proxy ends with its last connection", *early.because)
    setting = mesh_config.setting("defaultConfig", "terminationDrainDuration")
    if not setting.known:
        return Fact.missing(setting.reason, *setting.because)
    if setting.value is None:
        return Fact.of(_DEFAULT_DRAIN)
    return _length(str(setting.value), setting)


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() in ("true", "1", "t")


def _length(text: str, source: Fact[Any]) -> Fact[int]:
    length = go_duration(text)
    if length is None:
        return Fact.missing("no duration", *source.because)
    return Fact.of(length, *source.because, certain=source.certain)
