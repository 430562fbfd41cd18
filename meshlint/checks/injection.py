"""Checks of the family injection about labels and annotations that ask for a proxy.

Catalogue: spec traffic 8.1; semantics: security 1.3, 1.8 and 2.2. What is about the proxy inside the pod
is in `sidecar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from meshlint.findings import Draft
from meshlint.mesh.ambient import EXCLUDED_NAMESPACES
from meshlint.mesh.annotations import DEPRECATED, POD_ANNOTATIONS
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.facts import Fact
from meshlint.mesh.injection import Injected
from meshlint.mesh.labels import INJECT, MODE, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.namespaces import IGNORED_NAMESPACES, label_home
from meshlint.mesh.scope import Evidence
from meshlint.mesh.webhooks import pod_label
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Node, Scalar, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_MEANS_NO = frozenset({"false", "no", "off", "disabled", "disable", "0", "n", "never", "none"})
_EXAMINED = frozenset({"Namespace", "Service", "Pod", "Deployment"})
_NAMESPACE_ONLY = "means something on a Namespace only"


# -- injection-conflicting-labels -----------------------------------------------------------------


def conflicting_labels(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace in mesh.scope.of("", "Namespace"):
        yield from _two_namespace_labels(namespace)
    for workload in mesh.workloads.all:
        yield from _revision_of_pod_ignored(mesh, workload)
        yield from _label_against_annotation(workload)


def _two_namespace_labels(namespace: Resource) -> Iterator[Draft]:
    labels = namespace.labels
    injection, revision = labels.get(NAMESPACE_INJECTION), labels.get(REVISION)
    if injection in (None, "disabled") or revision is None or namespace.name == "istio-system":
        return
    if not revision or not injection or is_placeholder(injection) or is_placeholder(revision):
        return
    effect = "the default revision injects the pods" if injection == "enabled" else "no pod is injected"
    yield Draft(
        _label(namespace, REVISION),
        f"{namespace.title} has both {REVISION}: {revision} and {NAMESPACE_INJECTION}: {injection}; "
        f"{NAMESPACE_INJECTION} wins, so {effect}",
        label="ignored",
        help=f"keep one of the two: drop {NAMESPACE_INJECTION} to use the revision {revision}",
        related=(("this label wins", _label(namespace, NAMESPACE_INJECTION)),),
        severity="warning" if revision == "default" else None,
    )


def _revision_of_pod_ignored(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    own = workload.labels.get(REVISION)
    if own is None or is_placeholder(own):
        return
    injected = mesh.injection.of(workload)
    if not injected.known or injected.value is None or injected.value.manual:
        return
    config = mesh.config
    winner = mesh.namespaces.label(workload.namespace, NAMESPACE_INJECTION)
    if winner.known and winner.value is None:
        winner = mesh.namespaces.label(workload.namespace, REVISION)
    revision = injected.value.revision
    if not winner.known or winner.value is None or config.revision_of(own) == config.revision_of(revision):
        return
    yield Draft(
        _pod_label_place(workload, REVISION),
        f"{workload.title} asks for the revision {own}, but the namespace {workload.namespace} decides: "
        f"the revision {revision} injects its pods",
        label="ignored",
        help="a revision label of pods counts only in a namespace without injection labels",
        related=tuple(("the label of the namespace wins", place) for place in winner.because),
        severity="warning",
        equivalents=(),
    )


def _label_against_annotation(workload: Workload) -> Iterator[Draft]:
    label, annotation = workload.labels.get(INJECT), workload.annotations.get(INJECT)
    if {label, annotation} != {"true", "false"}:
        return
    yield Draft(
        workload.pod_place("metadata", "annotations", INJECT, part="pair"),
        f"{workload.title} has the annotation {INJECT}: {annotation} and the label {INJECT}: {label}; "
        "the label wins",
        label="ignored",
        help="drop the annotation, which is deprecated",
        related=(("the label wins", _pod_label_place(workload, INJECT)),),
        severity="warning",
        equivalents=(),
    )


# -- injection-ambient-and-sidecar ----------------------------------------------------------------


def ambient_and_sidecar(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace in mesh.scope.of("", "Namespace"):
        sidecar = _sidecar_label(namespace)
        if namespace.labels.get(MODE) == "ambient" and sidecar is not None:
            yield Draft(
                _label(namespace, MODE),
                f"{namespace.title} asks for the ambient data plane and, with {sidecar}, for sidecars; "
                "injected pods get a sidecar and ambient skips them",
                label="skipped for pods with a sidecar",
                help=f"keep either {MODE}: ambient or {sidecar}",
                related=(("asks for sidecars", _label(namespace, sidecar)),),
                equivalents=("KIA1311", "IST0123"),
            )
    for workload in mesh.workloads.all:
        yield from _ambient_pod_with_sidecar(mesh, workload)


def _sidecar_label(namespace: Resource) -> str | None:
    """The label by which a namespace asks for sidecars."""
    injection = namespace.labels.get(NAMESPACE_INJECTION)
    if injection is not None:
        return NAMESPACE_INJECTION if injection == "enabled" else None
    return REVISION if namespace.labels.get(REVISION) else None


def _ambient_pod_with_sidecar(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    mode = workload.labels.get(MODE)
    by_namespace = mesh.namespaces.label(workload.namespace, MODE)
    if mode != "ambient" and (mode == "none" or not by_namespace.is_("ambient")):
        return
    injected = mesh.injection.of(workload)
    if not injected.known or injected.value is None or "sidecar" not in injected.value.templates:
        return
    if mode == "ambient":
        place, related = _pod_label_place(workload, MODE), labelled("asks for a sidecar", injected)
    elif injected.value.manual or namespace_injects(mesh, workload.namespace) is None:
        place = injected.because[0]
        related = tuple(("asks for the ambient data plane", p) for p in by_namespace.because)
    else:
        return  # the labels of the namespace contradict each other, which is said there
    code = "KIA1315" if injected.value.manual else "KIA1311" if mode == "ambient" else "KIA1316"
    yield Draft(
        place,
        f"{workload.title} asks for the ambient data plane and for a sidecar; "
        "the pods get a sidecar and ambient skips them",
        label="skipped" if mode == "ambient" else "a sidecar in an ambient namespace",
        help=f"drop the sidecar, or set the pod label {MODE}: none",
        related=related,
        resource=workload.resource,
        severity=None if mode == "ambient" else "warning",
        equivalents=(code,),
    )


# -- injection-invalid-value ----------------------------------------------------------------------


def invalid_value(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace in mesh.scope.of("", "Namespace"):
        if namespace.metadata is not None:
            yield from _invalid_on_namespace(namespace)
    for workload in mesh.workloads.all:
        if workload.pod_metadata is not None:
            yield from _invalid_on_pod(mesh, workload)


def _invalid_on_namespace(namespace: Resource) -> Iterator[Draft]:
    for key, accepted, effect in (
        (
            NAMESPACE_INJECTION,
            ("enabled", "disabled"),
            "no pod of the namespace is injected, whatever it says",
        ),
        (MODE, ("ambient", "none"), "no pod joins the ambient mesh by it"),
        (REVISION, (), ""),
    ):
        node = namespace.get("metadata", "labels", key)
        if not isinstance(node, Scalar) or is_placeholder(node.text) or node.value is None:
            continue
        place = _label(namespace, key, "value")
        if not isinstance(node.value, str):
            yield _refused(namespace.title, place, key, node)
        elif accepted and node.text not in accepted:
            yield Draft(
                place,
                f"{namespace.title} has {key}: {node.text!r}, which is not {_or(accepted)}: {effect}",
                label=f"expected {_or(accepted)}",
                help=f"write {key}: {accepted[0]}",
                equivalents=(),
            )


def _invalid_on_pod(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    for refusal in mesh.injection.refusals(workload):
        if refusal.key in (INJECT, REVISION):
            node = refusal.place.node
            if isinstance(node, Scalar):
                yield _refused(workload.title, refusal.place, refusal.key, node)
        elif not mesh.injection.of(workload).known:
            yield Draft(
                refusal.place,
                f"{workload.title} sets {refusal.key} to {refusal.value!r}, which the injector refuses: "
                "no pod is created",
                label=f"expected {refusal.expected}",
                help=f"write {refusal.expected}",
                equivalents=("IST0125",),
            )
    yield from _invalid_inject(mesh, workload)
    mode = workload.labels.get(MODE)
    if mode and mode not in ("ambient", "none") and not is_placeholder(mode):
        yield Draft(
            workload.pod_place("metadata", "labels", MODE),
            f"{workload.title} has the pod label {MODE}: {mode!r}, which is neither ambient nor none: "
            "Istio reads it as if it were not set",
            label="expected ambient or none",
            help=f"write {MODE}: none to keep the pods out, ambient to take them in",
            equivalents=(),
        )


def _invalid_inject(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    part = "labels" if INJECT in workload.labels else "annotations"
    node = workload.label_node(INJECT) or workload.annotation_node(INJECT)
    if not isinstance(node, Scalar) or node.string is None or is_placeholder(node.text):
        return
    if node.text in ("true", "false"):
        return
    injected = mesh.injection.of(workload)
    refusing = node.text.lower() in _MEANS_NO
    if not injected.known:
        effect, contrary = "Istio reads it as if it were not set", True
    elif injected.value is None:
        effect, contrary = "Istio ignores it and the pods are not injected", not refusing
    else:
        effect, contrary = "Istio ignores it and the pods are injected", refusing
    yield Draft(
        workload.pod_place("metadata", part, INJECT),
        f"{workload.title} has {INJECT}: {node.text!r}, which is neither 'true' nor 'false': {effect}",
        label="expected 'true' or 'false'",
        help=f'write {INJECT}: "{str(not refusing).lower()}" as a label of the pods',
        severity=None if contrary else "warning",
        equivalents=(),
    )


def _refused(title: str, place: Place, key: str, node: Scalar) -> Draft:
    return Draft(
        place,
        f"{title} has the label {key}: {node.text}, which is no string: Kubernetes refuses the object",
        label="not a string",
        help=f'put it in quotes: {key}: "{node.text}"',
        equivalents=(),
    )


# -- injection-label-on-wrong-object --------------------------------------------------------------


def label_on_wrong_object(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        if workload.path and not workload.control_plane and not workload.partial:
            yield from _on_owner(mesh, workload)
        yield from _on_pod(mesh, workload)
    for namespace in mesh.scope.of("", "Namespace"):
        yield from _on_namespace(namespace)
    for service in mesh.scope.of("", "Service"):
        yield from _on_service(mesh, service)


def _on_owner(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    """Labels and annotations on the object that holds the pod template."""
    resource = workload.resource
    places: tuple[tuple[str, ...], ...] = (("metadata",), ("spec", "jobTemplate", "metadata"))
    for path in places[: 2 if workload.kind == "CronJob" else 1]:
        for part in ("labels", "annotations"):
            written = resource.mapping(*path, part)
            if written is None or _MISPLACED.isdisjoint(written.index):
                continue
            pod = workload.labels if part == "labels" else workload.annotations
            for key in written:
                known = _POD_LABELS if part == "labels" else POD_ANNOTATIONS
                if key in known and key not in pod and not _in_another_version(mesh, workload, part, key):
                    place = resource.place_at(*path, part, key, part="pair")
                    yield _belongs_to_template(mesh, workload, key, part, written.get(key), place)
                elif key == NAMESPACE_INJECTION:
                    yield _only_for_namespaces(
                        resource.title, resource.place_at(*path, part, key, part="pair")
                    )


def _in_another_version(mesh: Mesh, workload: Workload, part: str, key: str) -> bool:
    """Does another version of the object, perhaps its base or a patch, have the key on its template?"""
    return any(
        other.get(*workload.path, "metadata", part, key) is not None
        for other in mesh.scope.alternatives(workload.resource)
    )


_POD_LABELS = frozenset({INJECT, MODE})
_MISPLACED = POD_ANNOTATIONS | _POD_LABELS | {NAMESPACE_INJECTION}


def _belongs_to_template(
    mesh: Mesh, workload: Workload, key: str, part: str, node: Node | None, place: Place
) -> Draft:
    what = "label" if part == "labels" else "annotation"
    value = text_of(node) or ""
    effect, severity = "Istio reads it on pods only, so it does nothing", None
    if key == INJECT and value in ("true", "false"):
        effect, severity = _effect_of_ignored(mesh.injection.of(workload), value)
    target = "label of the pods" if key in _POD_LABELS else "annotation of the pods"
    return Draft(
        place,
        f"{workload.title} has the {what} {key} on the {workload.kind} and not on its pod template: {effect}",
        label="not on the pod template",
        help=f"move it to {'.'.join(workload.path)}.metadata as a {target}",
        severity=severity,
        equivalents=_codes(workload, key) if part == "annotations" else (),
    )


def _codes(workload: Workload, key: str) -> tuple[str, ...]:
    """Istioctl tells the place of an annotation and its age apart, and looks at Deployments alone."""
    if workload.kind not in _EXAMINED:
        return ()
    aged = key in DEPRECATED and key not in workload.resource.labels
    return ("IST0107", "IST0135") if aged else ("IST0107",)


def _effect_of_ignored(injected: Fact[Injected | None], value: str) -> tuple[str, str | None]:
    """What happens to pods whose `sidecar.istio.io/inject` Istio never sees, and how bad it is."""
    if not injected.known:
        return "Istio never sees it", None if value == "true" else "warning"
    if injected.value is None:
        return "the pods are not injected", None if value == "true" else "info"
    return "the pods are injected", "warning" if value == "false" else "info"


def _only_for_namespaces(title: str, place: Place) -> Draft:
    return Draft(
        place,
        f"{title} has {NAMESPACE_INJECTION}, which {_NAMESPACE_ONLY}: here it does nothing",
        label=_NAMESPACE_ONLY,
        help=f"label the Namespace, or the pods with {INJECT}",
        severity="warning",
        equivalents=(),
    )


def _on_pod(mesh: Mesh, workload: Workload) -> Iterator[Draft]:
    for part, written in (("labels", workload.labels), ("annotations", workload.annotations)):
        if NAMESPACE_INJECTION in written:
            place = workload.pod_place("metadata", part, NAMESPACE_INJECTION, part="pair")
            yield _only_for_namespaces(f"The pod template of {workload.title}", place)
    if MODE in workload.annotations and MODE not in workload.labels:
        yield Draft(
            workload.pod_place("metadata", "annotations", MODE, part="pair"),
            f"{workload.title} has {MODE} as an annotation of its pods: ambient reads the label only",
            label="an annotation, not a label",
            help="move it to the labels of the pod template",
            equivalents=(),
        )
    if needs_label(mesh, workload):
        yield Draft(
            workload.pod_place("metadata", "annotations", INJECT, part="pair"),
            f"{workload.title} asks for a sidecar by an annotation in the namespace {workload.namespace}, "
            "which does not inject: the webhook looks at labels only, so the pods are not injected",
            label="an annotation, not a label",
            help=f'move {INJECT}: "true" to the labels of the pod template',
            confidence=None if mesh.injection.of(workload).certain else "medium",
            equivalents=("IST0135",),
        )


def needs_label(mesh: Mesh, workload: Workload) -> bool:
    """Does the pod ask for injection by an annotation that no webhook sees?"""
    if workload.annotations.get(INJECT) != "true" or INJECT in workload.labels or workload.host_network:
        return False
    if workload.namespace in IGNORED_NAMESPACES or not mesh.injection.of(workload).is_(None):
        return False
    label = mesh.namespaces.label
    return all(label(workload.namespace, key).is_(None) for key in (NAMESPACE_INJECTION, REVISION))


def _on_namespace(namespace: Resource) -> Iterator[Draft]:
    for key in namespace.annotations:
        place = namespace.place_at("metadata", "annotations", key, part="pair")
        if key in (NAMESPACE_INJECTION, MODE, REVISION) and key not in namespace.labels:
            yield Draft(
                place,
                f"{namespace.title} has {key} as an annotation: Istio reads the label only",
                label="an annotation, not a label",
                help="move it to metadata.labels",
                equivalents=(),
            )
        elif key in POD_ANNOTATIONS:
            yield Draft(
                place,
                f"{namespace.title} has the annotation {key}, which Istio reads on pods only",
                label="an annotation of pods",
                help="set it on the pod templates",
            )
    if INJECT in namespace.labels:
        yield Draft(
            _label(namespace, INJECT),
            f"{namespace.title} has the label {INJECT}, which Istio reads on pods only",
            label="a label of pods",
            help=f"label the namespace with {NAMESPACE_INJECTION}: enabled",
            equivalents=(),
        )


def _on_service(mesh: Mesh, service: Resource) -> Iterator[Draft]:
    for key in service.annotations:
        if key in POD_ANNOTATIONS and not any(
            key in workload.annotations for workload in mesh.workloads.within(service.ns)
        ):
            yield Draft(
                service.place_at("metadata", "annotations", key, part="pair"),
                f"{service.title} has the annotation {key}, which Istio reads on pods only",
                label="an annotation of pods",
                help="set it on the pod template of the workload",
                severity="warning",
            )


# -- injection-host-network -----------------------------------------------------------------------


def host_network(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for workload in mesh.workloads.all:
        if not workload.host_network or workload.control_plane or _is_gateway(mesh, workload):
            continue
        asked = _asks_for_sidecar(mesh, workload) or _asks_for_ambient(mesh, workload)
        if asked is None:
            continue
        yield Draft(
            workload.pod_place("spec", "hostNetwork", part="pair"),
            f"{workload.title} runs on the host network: Istio never puts its pods into the mesh, "
            "although labels ask for it",
            label="never in the mesh",
            help="drop hostNetwork, or say that the pods stay out: label them "
            f'{INJECT}: "false" ({MODE}: none for ambient)',
            related=tuple(("asks for the mesh", place) for place in asked.because),
        )


def _asks_for_sidecar(mesh: Mesh, workload: Workload) -> Fact[str | None] | None:
    """The label that asks for a sidecar, unless the pod opts out."""
    own = pod_label(workload, INJECT)
    if own.is_("true"):
        return own
    if own.is_("false") or not own.known or workload.annotations.get(INJECT) == "false":
        return None
    return namespace_injects(mesh, workload.namespace)


def _asks_for_ambient(mesh: Mesh, workload: Workload) -> Fact[str | None] | None:
    own = pod_label(workload, MODE)
    if own.is_("ambient"):
        return own
    inherited = mesh.namespaces.label(workload.namespace, MODE)
    return inherited if inherited.is_("ambient") and not own.is_("none") else None


def namespace_injects(mesh: Mesh, namespace: str) -> Fact[str | None] | None:
    """The label by which a namespace is injected, if it is."""
    injection = mesh.namespaces.label(namespace, NAMESPACE_INJECTION)
    if not injection.known or injection.value is not None:
        return injection if injection.is_("enabled") else None
    revision = mesh.namespaces.label(namespace, REVISION)
    return revision if revision.known and revision.value else None


# -- injection-system-namespace -------------------------------------------------------------------


def system_namespace(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace in mesh.scope.of("", "Namespace"):
        if namespace.name not in IGNORED_NAMESPACES:
            continue
        labels = namespace.labels
        sidecar = _sidecar_label(namespace)
        if sidecar is not None and not is_placeholder(labels[sidecar]):
            yield _ignored_namespace(_label(namespace, sidecar), namespace.title, "the injector")
        if labels.get(MODE) == "ambient" and namespace.name in EXCLUDED_NAMESPACES:
            yield _ignored_namespace(_label(namespace, MODE), namespace.title, "the CNI agent")
    for name in IGNORED_NAMESPACES:
        for workload in mesh.workloads.within(name):
            if workload.labels.get(INJECT) == "true":
                yield _ignored_namespace(_pod_label_place(workload, INJECT), workload.title, "the injector")


def _ignored_namespace(place: Place, title: str, who: str) -> Draft:
    return Draft(
        place,
        f"{title} is labelled for the mesh, but {who} ignores this namespace",
        label="ignored here",
        help="drop the label, and run what needs the mesh in a namespace of its own",
    )


# -- injection-unknown-revision -------------------------------------------------------------------


def unknown_revision(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for namespace in mesh.scope.of("", "Namespace"):
        labels = namespace.labels
        if NAMESPACE_INJECTION in labels:
            yield from _no_default(mesh, namespace)
        elif REVISION in labels and _is_unknown(mesh, namespace.get("metadata", "labels", REVISION)):
            place = _label(namespace, REVISION, "value")
            yield _unknown_revision(mesh, namespace.title, namespace.name, labels[REVISION], place)
    for workload in mesh.workloads.all:
        node = workload.label_node(REVISION)
        if node is None or workload.control_plane or workload.labels.get(INJECT) == "false":
            continue
        label = mesh.namespaces.label
        keys = (NAMESPACE_INJECTION, REVISION)
        if all(label(workload.namespace, key).is_(None) for key in keys) and _is_unknown(mesh, node):
            place = workload.pod_place("metadata", "labels", REVISION)
            yield _unknown_revision(
                mesh, workload.title, workload.namespace, workload.labels[REVISION], place
            )


def _no_default(mesh: Mesh, namespace: Resource) -> Iterator[Draft]:
    if namespace.labels[NAMESPACE_INJECTION] != "enabled" or not mesh.config.default_revision.is_(False):
        return
    known = mesh.config.revisions
    names = f" (there are: {', '.join(sorted(known.value))})" if known.known and known.value else ""
    yield Draft(
        _label(namespace, NAMESPACE_INJECTION),
        f"{namespace.title} is injected by the default revision, and no control plane of the input has it: "
        "its pods are not injected",
        label="no default revision",
        help=f"label the namespace with {REVISION} and a revision{names}, or tag one as default",
        related=tuple(("a revision", place) for place in known.because[:3]),
        confidence=_closed_or_medium(mesh, namespace.name),
    )


def _is_unknown(mesh: Mesh, node: Node | None) -> bool:
    if not isinstance(node, Scalar) or node.string is None or is_placeholder(node.text):
        return False
    name, config = node.text, mesh.config
    if name == "":
        return True
    revisions = config.revisions
    if not (config.installed and revisions.known and revisions.certain) or name.startswith("asm-"):
        return False
    return name not in revisions.value and not (name == "default" and config.has_default)


def _unknown_revision(mesh: Mesh, title: str, namespace: str, name: str, place: Place) -> Draft:
    revisions = mesh.config.revisions
    known = ", ".join(sorted(revisions.value)) if revisions.known else ""
    return Draft(
        place,
        f"{title} asks for the revision {name!r}, and there is no revision or tag of that name: "
        "the pods are not injected",
        label=f"known: {known}" if known else "no such revision",
        help="name a revision or a revision tag of the installed control planes",
        related=tuple(("a revision", p) for p in revisions.because[:3]) if revisions.known else (),
        confidence=None if name == "" else _confidence_in_absence(mesh, namespace, name),
    )


def _confidence_in_absence(mesh: Mesh, namespace: str, name: str) -> str | None:
    """`istioctl tag set` leaves nothing in the files, so a name that is no version may well be a tag."""
    confidence = _closed_or_medium(mesh, namespace)
    may_be_tag = not name[:1].isdigit() and not mesh.config.declares_tags
    return "low" if confidence and may_be_tag else confidence


# -- injection-missing ----------------------------------------------------------------------------


def missing(mesh: Mesh, options: Options) -> Iterator[Draft]:
    automatic = mesh.config.injector_value("sidecarInjectorWebhook", "enableNamespacesByDefault")
    if not automatic.known or automatic.value is True:
        return
    excluded = tuple(options.get("exclude", ()))
    for name in dict.fromkeys(workload.namespace for workload in mesh.workloads.all):
        if name in IGNORED_NAMESPACES or name == mesh.config.root or _matches(name, excluded):
            continue
        labels = [mesh.namespaces.label(name, key) for key in (NAMESPACE_INJECTION, REVISION, MODE)]
        if not all(label.is_(None) for label in labels):
            continue
        undecided = [w for w in mesh.workloads.within(name) if _leaves_it_open(mesh, w)]
        if undecided and not any(w.control_plane for w in mesh.workloads.within(name)):
            yield from _not_in_mesh(mesh, name, undecided)


def _leaves_it_open(mesh: Mesh, workload: Workload) -> bool:
    """Would the labels of the namespace decide about the pods?"""
    if workload.host_network or workload.partial or workload.control_plane or _is_gateway(mesh, workload):
        return False
    keys = (INJECT, REVISION, MODE)
    if any(key in workload.labels for key in keys) or INJECT in workload.annotations:
        return False
    if any(_in_another_version(mesh, workload, "labels", key) for key in keys):
        return False
    return mesh.injection.of(workload).is_(None)


def _not_in_mesh(mesh: Mesh, name: str, workloads: list[Workload]) -> Iterator[Draft]:
    definitions = mesh.namespaces.definitions.get(name, [])
    doubtful = mesh.scope.may_exist("Namespace", name)
    related = tuple((f"not in the mesh: {w.title}", w.resource.place()) for w in workloads[:3])
    count = f"{len(workloads)} workload{'' if len(workloads) == 1 else 's'}"
    shared: dict[str, Any] = {
        "label": "no injection and no ambient label",
        "help": f"label the Namespace with {NAMESPACE_INJECTION}: enabled or {MODE}: ambient; if it stays "
        f"out on purpose, say so with {NAMESPACE_INJECTION}: disabled",
    }
    for namespace in definitions:
        yield Draft(
            label_home(namespace),
            f"{namespace.title} has neither an injection label nor an ambient label, so the pods of {count} "
            "in it stay outside the mesh (policy)",
            related=related,
            confidence="low" if doubtful else "medium",
            equivalents=("IST0102",),
            **shared,
        )
    if not definitions:
        yield Draft(
            workloads[0].resource.place(),
            f"The namespace {name} is not labelled for injection or ambient in the input, so the pods of "
            f"{count} in it stay outside the mesh (policy)",
            related=related[1:],
            confidence="low",
            equivalents=(),
            **shared,
        )


# -- injection-opt-out ----------------------------------------------------------------------------


def opt_out(mesh: Mesh, options: Options) -> Iterator[Draft]:
    allowed = options.get("allow_annotation", "")
    for workload in mesh.workloads.all:
        if allowed in workload.annotations or allowed in workload.resource.annotations:
            continue
        opting = _opting_out(mesh, workload)
        if opting is None or workload.control_plane or workload.host_network or _is_gateway(mesh, workload):
            continue
        place, inherited = opting
        yield Draft(
            place,
            f"{workload.title} opts out of the mesh in the namespace {workload.namespace}, which is in the "
            "mesh (policy)",
            label="opts out",
            help=f"drop it, or give the reason in the annotation {allowed}",
            related=tuple(("the namespace is in the mesh", p) for p in inherited.because),
        )


def _opting_out(mesh: Mesh, workload: Workload) -> tuple[Place, Fact[str | None]] | None:
    label, annotation = workload.labels.get(INJECT), workload.annotations.get(INJECT)
    if "false" not in (label, annotation) and workload.labels.get(MODE) != "none":
        return None
    sidecar = namespace_injects(mesh, workload.namespace)
    if sidecar is not None:
        if label == "false":
            return _pod_label_place(workload, INJECT), sidecar
        if label is None and annotation == "false":
            return workload.pod_place("metadata", "annotations", INJECT, part="pair"), sidecar
        return None
    ambient = mesh.namespaces.label(workload.namespace, MODE)
    if ambient.is_("ambient") and workload.labels.get(MODE) == "none":
        return _pod_label_place(workload, MODE), ambient
    return None


# -- shared ---------------------------------------------------------------------------------------


def _is_gateway(mesh: Mesh, workload: Workload) -> bool:
    return mesh.data_planes.of(workload).is_(DataPlane.GATEWAY, DataPlane.WAYPOINT)


def _label(resource: Resource, key: str, part: str = "pair") -> Place:
    return resource.place_at("metadata", "labels", key, part=part)


def _pod_label_place(workload: Workload, key: str) -> Place:
    return workload.pod_place("metadata", "labels", key, part="pair")


def labelled(label: str, fact: Fact[Any]) -> tuple[tuple[str, Place], ...]:
    return tuple((label, place) for place in fact.because) if fact.known else ()


def _closed_or_medium(mesh: Mesh, namespace: str) -> str | None:
    closed = mesh.scope.evidence("", "Namespace", namespace) is Evidence.CLOSED
    return None if closed else "medium"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(repr(word) for word in words)
