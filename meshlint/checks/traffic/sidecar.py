"""Do Sidecar resources import what exists, and is it clear which one counts? (spec traffic 1.11)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.injection import namespace_injects
from meshlint.checks.traffic.neighbours import same_namespace
from meshlint.findings import Draft
from meshlint.mesh.existence import HostState, Presence
from meshlint.mesh.hosts import is_wild, overlap
from meshlint.mesh.labels import MODE
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.readers import read_together
from meshlint.mesh.scope import Evidence
from meshlint.mesh.sidecars import EgressHost, Sidecar
from meshlint.mesh.workloads import POD_TEMPLATES, Workload
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


# -- sidecar-egress-host --------------------------------------------------------------------------


def egress_host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        for entry in sidecar.egress or ():
            if entry.host in ("", "*") or entry.exclude or is_placeholder(entry.node.text):
                continue
            if "." not in entry.host:
                continue  # a short name, which Istio refuses
            yield from _egress(mesh, sidecar, entry)


def _egress(mesh: Mesh, sidecar: Sidecar, entry: EgressHost) -> Iterator[Draft]:
    state = mesh.existence.of(entry.host, sidecar.namespace)
    if state.presence is Presence.UNQUALIFIED:
        meant = f"{entry.node.text.partition('/')[0]}/{state.meant}"
        yield _imports_nothing(
            sidecar, entry, f"{entry.host} is no full name", f"write {meant}", state.confidence
        )
    elif state.presence is Presence.MISSING:
        what = "does not exist" if state.confidence is None else "is not in the given files"
        advice = "name a host that exists, or drop the entry"
        yield _imports_nothing(sidecar, entry, f"{entry.host} {what}", advice, state.confidence)
    elif state.found:
        yield from _other_namespace(mesh, sidecar, entry, state)


def _other_namespace(mesh: Mesh, sidecar: Sidecar, entry: EgressHost, state: HostState) -> Iterator[Draft]:
    """The host exists, and not in the namespace that the entry names."""
    wanted = sidecar.namespace if entry.namespace == "." else entry.namespace
    if wanted == "*" or not state.services:
        return
    homes = {service.namespace for service in state.services if overlap(entry.host, service.host)}
    if wanted in homes or not homes:
        return
    sure = _only_there(mesh, entry, homes)
    if sure is None:
        return
    home = min(homes)
    yield _imports_nothing(
        sidecar,
        entry,
        f"{entry.host} is in {home}, not in {wanted}",
        f"write {home}/{entry.host}",
        None if sure == "high" else sure,
    )


def _only_there(mesh: Mesh, entry: EgressHost, homes: set[str]) -> str | None:
    """The name of a Service tells its namespace; a ServiceEntry for the host may be anywhere."""
    if entry.host.endswith(f".svc.{mesh.registry.domain}") and not is_wild(entry.host):
        return "high"
    if mesh.settings.complete:
        return "high"
    return "low" if homes and not mesh.settings.remainder else None


def _imports_nothing(
    sidecar: Sidecar, entry: EgressHost, why: str, advice: str, confidence: str | None
) -> Draft:
    return Draft(
        sidecar.resource.place(entry.node),
        f"{sidecar.resource.title} lists the egress host {entry.node.text}, which imports nothing: {why}",
        label="imports nothing",
        help=advice,
        confidence=confidence,
    )


# -- sidecar-mode-empty ---------------------------------------------------------------------------


def mode_empty(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        policy = sidecar.resource.mapping("spec", "outboundTrafficPolicy")
        if policy is None or policy.get("mode") is not None or policy.get("egressProxy") is not None:
            continue
        yield Draft(
            sidecar.resource.place_at("spec", "outboundTrafficPolicy", part="key"),
            f"{sidecar.resource.title} has an outboundTrafficPolicy without a mode, which means "
            "REGISTRY_ONLY: connections to hosts that the mesh does not know are cut",
            label="REGISTRY_ONLY by omission",
            help="write mode: REGISTRY_ONLY or mode: ALLOW_ANY, or drop the block to keep the mesh's setting",
        )


# -- sidecar-duplicate ----------------------------------------------------------------------------


def duplicate(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace, sidecars in mesh.sidecars.by_namespace.items():
        if mesh.namespaces.label(namespace, MODE).is_("ambient"):
            continue
        plain = [sidecar for sidecar in sidecars if not sidecar.selector and not _templated(sidecar)]
        for sidecar, other in _pairs(plain):
            yield _both(
                mesh, sidecar, other,
                f"and {other.resource.title} are both for all pods of {namespace}",
                ("IST0111", "KIA0002"),
            )  # fmt: skip
        yield from _overlapping(mesh, namespace, [s for s in sidecars if s.selector])


def _templated(sidecar: Sidecar) -> bool:
    labels = sidecar.resource.get("spec", "workloadSelector", "labels")
    return labels is not None and not isinstance(labels, YamlMapping)


def _pairs(sidecars: list[Sidecar]) -> Iterator[tuple[Sidecar, Sidecar]]:
    """Each with the first that is another object, not a version of itself, for the same revision."""
    said: set[int] = set()
    for group in read_together(sidecars, lambda sidecar: sidecar.resource):
        firsts: dict[tuple[str, ...], Sidecar] = {}
        for sidecar in group:
            firsts.setdefault(sidecar.resource.key, sidecar)
        heads = list(firsts.items())[:2]
        for sidecar in group:
            other = next((head for key, head in heads if key != sidecar.resource.key), None)
            if other is not None and id(sidecar) not in said:
                said.add(id(sidecar))
                yield sidecar, other


def _overlapping(mesh: Mesh, namespace: str, sidecars: list[Sidecar]) -> Iterator[Draft]:
    """Selectors that meet on a pod, or would, as they are the same."""
    by_pod: dict[int, list[Sidecar]] = defaultdict(list)
    pods: dict[int, Workload] = {}
    by_selector: dict[frozenset[tuple[str, str]], list[Sidecar]] = defaultdict(list)
    for sidecar in sidecars:
        by_selector[frozenset(sidecar.selector.items())].append(sidecar)
        for workload in mesh.workloads.matching(sidecar.selector, namespace):
            if mesh.ambient.labelled(workload).is_(True):
                continue
            by_pod[id(workload)].append(sidecar)
            pods[id(workload)] = workload
    said: set[int] = set()
    for pod, found in by_pod.items():
        for sidecar, other in _pairs(found):
            if id(sidecar) not in said:
                said.add(id(sidecar))
                what = f"and {other.resource.title} both select {pods[pod].title}"
                related = (("the pods", pods[pod].resource.place()),)
                yield _both(mesh, sidecar, other, what, ("IST0110", "KIA0003"), related)
    for found in by_selector.values():
        for sidecar, other in _pairs(found):
            if id(sidecar) not in said:
                yield _both(mesh, sidecar, other, f"and {other.resource.title} have the same selector", ())


def _both(
    mesh: Mesh,
    sidecar: Sidecar,
    other: Sidecar,
    what: str,
    codes: tuple[str, ...],
    related: tuple[tuple[str, Place], ...] = (),
) -> Draft:
    return Draft(
        _selector_place(sidecar),
        f"{sidecar.resource.title} {what}: the older one is used, the other is ignored",
        label="one of two",
        help="merge them into one Sidecar, or let their selectors differ",
        related=(("the other one", _selector_place(other)), *related),
        confidence=same_namespace(mesh, sidecar.resource, other.resource),
        equivalents=codes,
    )


def _selector_place(sidecar: Sidecar) -> Place:
    resource = sidecar.resource
    if resource.get("spec", "workloadSelector") is not None:
        return resource.place_at("spec", "workloadSelector", part="key")
    return resource.place()


# -- sidecar-root-selector, sidecar-selector-no-pods ----------------------------------------------


def root_selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        if sidecar.selector and sidecar.namespace == mesh.config.root:
            yield Draft(
                _selector_place(sidecar),
                f"{sidecar.resource.title} selects pods in the root namespace: it is for pods of "
                f"{sidecar.namespace} only, not for those of the mesh",
                label="for its own namespace only",
                help="drop the selector to have a default for the mesh, or move it to the pods' namespace",
                confidence=None if mesh.config.root_namespace.known else "medium",
            )


def selector_no_pods(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        selector = sidecar.selector
        if not selector or mesh.workloads.matching(selector, sidecar.namespace):
            continue
        if any(is_placeholder(text) for text in (*selector, *selector.values())):
            continue
        sure = _pods_missing(mesh, sidecar.namespace)
        if sure is not None:
            labels = ", ".join(f"{key}: {value}" for key, value in selector.items())
            yield Draft(
                sidecar.resource.place_at("spec", "workloadSelector", "labels", part="key"),
                f"{sidecar.resource.title} selects pods with {labels}, and no pod of {sidecar.namespace} "
                f"{'has' if sure == 'high' else 'in the given files has'} these labels: it is not used",
                label="selects no pod",
                help="use labels of pod templates in the namespace of the Sidecar",
                confidence=None if sure == "high" else sure,
            )


def _pods_missing(mesh: Mesh, namespace: str) -> str | None:
    evidence = max(
        (mesh.scope.evidence(group, kind, namespace) for group, kind in POD_TEMPLATES), default=Evidence.OPEN
    )
    if evidence is Evidence.OPEN or mesh.existence.installed_into(namespace):
        return None
    return "high" if evidence is Evidence.CLOSED else "low"


# -- sidecar-in-ambient ---------------------------------------------------------------------------


def in_ambient(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        decided = _all_ambient(mesh, sidecar)
        if decided is None:
            continue
        yield Draft(
            _selector_place(sidecar),
            f"{sidecar.resource.title} is for pods of the ambient mesh, which read no Sidecar",
            label="not read in ambient mode",
            help="drop it; a waypoint and exportTo decide there what is reached",
            related=(("ambient mode", decided),),
        )


def _all_ambient(mesh: Mesh, sidecar: Sidecar) -> Place | None:
    """Where it is decided that the pods are in the ambient mesh; None where one is not, or may not be."""
    if sidecar.selector:
        pods = mesh.workloads.matching(sidecar.selector, sidecar.namespace)
        answers = [mesh.ambient.labelled(workload) for workload in pods]
        if answers and all(answer.is_(True) for answer in answers):
            return answers[0].because[0] if answers[0].because else pods[0].resource.place()
        return None
    if sidecar.namespace == mesh.config.root:
        return None
    mode = mesh.namespaces.label(sidecar.namespace, MODE)
    if not mode.is_("ambient") or not mode.because:
        return None
    if namespace_injects(mesh, sidecar.namespace) is not None:
        return None
    for workload in mesh.workloads.within(sidecar.namespace):
        if not mesh.ambient.labelled(workload).is_(True) or mesh.injection.of(workload).or_else(None):
            return None
    return mode.because[0]


# -- egress-allow-any -----------------------------------------------------------------------------


def allow_any(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for sidecar in mesh.sidecars.all:
        if sidecar.mode == "ALLOW_ANY":
            yield _open(
                sidecar.resource.place_at("spec", "outboundTrafficPolicy", "mode"), sidecar.resource.title
            )
    roots = mesh.sidecars.by_namespace.get(mesh.config.root, [])
    if any(not sidecar.selector and sidecar.mode == "REGISTRY_ONLY" for sidecar in roots):
        return
    mode = mesh.config.setting("outboundTrafficPolicy", "mode")
    if mode.is_("ALLOW_ANY"):
        yield from (_open(place, "the mesh configuration") for place in mode.because[:1])
    elif mode.is_(None) and mode.certain and mesh.config.installed:
        yield from (_open(place, "the mesh configuration, by default,") for place in _homes(mesh))


def _homes(mesh: Mesh) -> list[Place]:
    """Where the installation of the input would say it."""
    found = [s.resource for s in mesh.config.sources if s.installs and s.resource is not None]
    return [resource.place() for resource in found[:1]]


def _open(place: Place, who: str) -> Draft:
    return Draft(
        place,
        f"{who} lets pods connect to every host, known to the mesh or not (policy)",
        label="ALLOW_ANY",
        help="set outboundTrafficPolicy.mode to REGISTRY_ONLY, and declare external hosts in ServiceEntries",
    )
