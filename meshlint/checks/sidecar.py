"""Checks of the family injection about the proxy inside the pod (catalogue: spec traffic 8.1).

Images, identities, redirection and life cycle (semantics: security 1.7, 1.9, 1.10, 1.12); the checks on
labels are in `injection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshlint.checks.injection import labelled, needs_label
from meshlint.findings import Draft
from meshlint.mesh.annotations import DEPRECATED
from meshlint.mesh.dataplane import (
    EXCLUDE_INBOUND,
    EXCLUDE_OUTBOUND,
    INCLUDE_INBOUND,
    INCLUDE_OUTBOUND,
    INTERCEPTION,
    proxy_identity,
)
from meshlint.mesh.injection import NATIVE, manual_proxy, proxy_container
from meshlint.mesh.labels import INJECT, PROXY_CONFIG
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import ServicePort
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import mappings, text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

PROXY_IMAGE = "sidecar.istio.io/proxyImage"

_QUIT = ("quitquitquit", "EXIT_WITH_PARENT", "ISTIO_QUIT_API", "scuttle")


# -- injection-image-auto -------------------------------------------------------------------------


def image_auto(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        proxy = proxy_container(workload)
        if proxy is None or text_of(proxy.get("image")) != "auto":
            continue
        injected = mesh.injection.of(workload)
        if not injected.is_(None):
            continue
        yield Draft(
            Place(workload.resource, proxy.get("image") or proxy, "pair", proxy.key("image")),
            f"{workload.title} leaves the image of istio-proxy to the injector (auto), but its pods are not "
            f"injected: {injected.reason or 'nothing asks for injection'}; the image cannot be pulled",
            label="nobody replaces it",
            help=f'label the pods with {INJECT}: "true", in a namespace that does not switch injection off',
            related=tuple(("decides about injection", place) for place in injected.because[:2]),
            confidence=None if injected.certain else "medium",
            equivalents=("IST0147",) if workload.kind == "Pod" else ("IST0146",),
        )


# -- injection-uid-1337 ---------------------------------------------------------------------------


def uid_1337(mesh: Mesh, options: Options) -> Iterator[Draft]:
    openshift = mesh.settings.platform == "openshift"
    for workload in mesh.workloads.all:
        found = proxy_identity(workload)
        if not found or workload.control_plane:
            continue
        injected = mesh.injection.of(workload)
        if injected.is_(None) or (not injected.known and mesh.ambient.labelled(workload).is_(True)):
            continue
        for container, place, field in found:
            name = text_of(container.get("name")) or "?"
            yield Draft(
                place,
                f"{workload.title} runs the container {name} with {field} 1337, the identity of the proxy: "
                "its outgoing traffic bypasses the sidecar",
                label="the proxy's own identity",
                help=f"choose another {field} for the container",
                related=labelled("injected", injected),
                confidence=None if injected.known else "medium",
                severity="warning" if openshift else None,
            )


# -- injection-traffic-bypass ---------------------------------------------------------------------


def traffic_bypass(mesh: Mesh, options: Options) -> Iterator[Draft]:
    quiet = tuple(options.get("port_names", ()))
    for workload in mesh.workloads.all:
        if workload.annotations.keys().isdisjoint(_BYPASSING) or workload.control_plane:
            continue
        injected = mesh.injection.of(workload)
        if injected.known and (injected.value is None or "sidecar" not in injected.value.templates):
            continue
        confidence = None if injected.known else "medium"
        for key, effect, severity, ports in (
            *_inbound_bypass(mesh, workload, quiet),
            *_outbound_bypass(workload),
            *_without_interception(mesh, workload),
        ):
            yield Draft(
                workload.pod_place("metadata", "annotations", key),
                f"{workload.title} sets {key} to {workload.annotations[key]!r}: {effect}",
                label="bypasses the sidecar",
                help="leave out only what the mesh cannot carry, such as an external database",
                related=ports,
                confidence=confidence,
                severity=severity,
            )


_BYPASSING = frozenset({INCLUDE_INBOUND, EXCLUDE_INBOUND, INCLUDE_OUTBOUND, EXCLUDE_OUTBOUND, INTERCEPTION})
_Bypass = tuple[str, str, str | None, tuple[tuple[str, Place], ...]]


def _inbound_bypass(mesh: Mesh, workload: Workload, quiet: tuple[str, ...]) -> Iterator[_Bypass]:
    included = workload.annotations.get(INCLUDE_INBOUND)
    if included == "":
        effect = "all its ports accept plain text, and no policy of the mesh applies to them"
        yield INCLUDE_INBOUND, effect, None, ()
        return
    key = INCLUDE_INBOUND if included not in (None, "*") else EXCLUDE_INBOUND
    written = workload.annotations.get(key)
    if written is None or is_placeholder(written):
        return
    listed = {int(part) for part in (p.strip() for p in written.split(",")) if part.isdigit()}
    open_ports: dict[int, ServicePort] = {}
    places: list[tuple[str, Place]] = []
    for service in mesh.registry.services_of(workload):
        for port in service.ports:
            target = mesh.registry.target_port(service, port, workload)
            if port.protocol == "UDP" or not target.known or target.value in open_ports:
                continue
            if (target.value in listed) is (key == EXCLUDE_INBOUND):
                open_ports[target.value] = port
                places.append((f"port {port.number} of {service.resource.title}", target.because[0]))
    if open_ports:
        names = [port.name for port in open_ports.values()]
        usual = all(any(mark in name.lower() for mark in quiet) for name in names)
        ports = ", ".join(str(port) for port in sorted(open_ports))
        effect = f"port {ports} of its Service accepts plain text, and no policy of the mesh applies to it"
        yield key, effect, "info" if usual else None, tuple(places)


def _outbound_bypass(workload: Workload) -> Iterator[_Bypass]:
    """Client side outside of the mesh, unless the application holds the certificates itself."""
    if "OUTPUT_CERTS" in workload.annotations.get(PROXY_CONFIG, ""):
        return
    effect = "its requests leave in plain text, and servers with STRICT mutual TLS refuse them"
    if workload.annotations.get(INCLUDE_OUTBOUND) == "":
        yield INCLUDE_OUTBOUND, effect, None, ()
    if "0.0.0.0/0" in workload.annotations.get(EXCLUDE_OUTBOUND, "").split(","):
        yield EXCLUDE_OUTBOUND, effect, None, ()


def _without_interception(mesh: Mesh, workload: Workload) -> Iterator[_Bypass]:
    listens = mesh.data_planes.listens_by_sidecar(workload)
    if workload.annotations.get(INTERCEPTION) == "NONE" and not listens:
        effect = "nothing redirects its traffic to the sidecar, and no Sidecar resource listens for it"
        yield INTERCEPTION, effect, None, ()


# -- injection-job-lifecycle ----------------------------------------------------------------------


def job_lifecycle(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        if workload.kind not in ("Job", "CronJob") or _quits_the_proxy(workload):
            continue
        injected = mesh.injection.of(workload)
        if not injected.known or injected.value is None or "sidecar" not in injected.value.templates:
            continue
        native = mesh.injection.native_sidecar(workload)
        if not native.is_(False):
            continue
        stated = NATIVE in workload.annotations
        yield Draft(
            native.because[0] if stated else workload.resource.place(),
            f"{workload.title} gets a sidecar that keeps running when the work is done: "
            "the Job never completes",
            label="the proxy does not end with the work",
            help="use native sidecars, or let the work end the proxy with a request to /quitquitquit",
            related=labelled("injected", injected),
            resource=workload.resource,
            severity="warning" if stated else None,
        )


def _quits_the_proxy(workload: Workload) -> bool:
    for container in workload.app_containers:
        words = [text.text for part in ("command", "args") for text in texts(container.get(part))]
        words.extend(text_of(item.get("name")) or "" for item in mappings(container.get("env")))
        if any(mark in word for word in words for mark in _QUIT):
            return True
    return False


# -- injection-annotation-deprecated, injection-pinned-proxy-image --------------------------------


def annotation_deprecated(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        for key in workload.annotations:
            if key not in DEPRECATED:
                continue
            if key == INJECT and (
                INJECT in workload.labels or mesh.injection.by_annotation or needs_label(mesh, workload)
            ):
                continue
            yield Draft(
                workload.pod_place("metadata", "annotations", key, part="key"),
                f"{workload.title} uses the annotation {key}, which is deprecated",
                label="deprecated",
                help=f"use {DEPRECATED[key]}",
            )


def pinned_proxy_image(mesh: Mesh, options: Options) -> Iterator[Draft]:
    severity = "error" if mesh.config.kyma else None
    for workload in mesh.workloads.all:
        image = workload.annotations.get(PROXY_IMAGE)
        if image is not None and not is_placeholder(image):
            yield _pinned(
                workload, workload.pod_place("metadata", "annotations", PROXY_IMAGE), image, severity
            )
            continue
        proxy = proxy_container(workload)
        if proxy is None or workload.control_plane or _routes(proxy):
            continue
        written = text_of(proxy.get("image"))
        injected = mesh.injection.of(workload)
        if (
            written in (None, "auto")
            or is_placeholder(written)
            or not injected.known
            or injected.value is None
        ):
            continue
        place = Place(workload.resource, proxy.get("image") or proxy)
        yield _pinned(workload, place, written or "", severity, manual=manual_proxy(workload) is not None)


def _pinned(
    workload: Workload, place: Place, image: str, severity: str | None, *, manual: bool = False
) -> Draft:
    if place.node is workload.annotation_node(PROXY_IMAGE) and "/" not in image:
        effect = "without a slash in it the injector ignores it"
    else:
        effect = "an upgrade of the control plane does not reach it"
    return Draft(
        place,
        f"{workload.title} pins its proxy to the image {image}: {effect} (policy)",
        label="pinned",
        help="inject by webhook and drop the written proxy"
        if manual
        else "let the injector choose the image",
        severity=severity,
    )


def _routes(proxy: MappingNode) -> bool:
    return any(argument.text == "router" for argument in texts(proxy.get("args")))
