"""Do the networks of the mesh name clusters that istiod knows? (spec istioctl-analyze IST0126)

istiod knows a cluster by a key of a Secret with the label istio/multiCluster, and its own one by the name
that the installation gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.grammar import label_problem
from meshlint.checks.admission.mesh_networks import networks
from meshlint.checks.admission.mesh_sources import title_of
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Evidence
from meshlint.resources import Resource
from meshlint.schema.suggest import sibling
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_REGISTRIES: Final = frozenset({"Mock", "Kubernetes", "External"})
_LABEL: Final = "istio/multiCluster"
#: what makes Secrets -> the way to their labels
_MAKERS: Final = {
    ("bitnami.com", "SealedSecret"): ("spec", "template", "metadata", "labels"),
    ("external-secrets.io", "ExternalSecret"): ("spec", "target", "template", "metadata", "labels"),
    ("external-secrets.io", "ClusterExternalSecret"): (
        "spec", "externalSecretSpec", "target", "template", "metadata", "labels",
    ),
}  # fmt: skip
_NAMED_BY_ISTIOCTL: Final = "istio-remote-secret"


def unknown_registry(mesh: Mesh, options: Options) -> Iterator[Draft]:
    known: frozenset[str] | None = None
    sure: str | None = None
    own_open = not _values_given(mesh)
    for name, network in networks(mesh):
        for endpoints in network.blocks("endpoints"):
            registry = endpoints.text("fromRegistry")
            if not registry or label_problem(registry):
                continue
            if known is None:
                known, sure = _clusters(mesh)
            if sure is None or registry in known or (own_open and not _slip(registry, known)):
                continue
            near = sibling(registry, sorted(known))
            yield Draft(
                endpoints.place("fromRegistry"),
                f"{title_of(endpoints.resource)}: the network {name} has the endpoints of the cluster "
                f"{registry}, for which there is no remote secret: istiod puts no endpoint into the network",
                label=f"did you mean {near}?" if near else "no such cluster",
                help=f"write {near}"
                if near
                else f"make its secret with `istioctl create-remote-secret --name "
                f"{registry}`, or name a cluster that has one",
                confidence=None if sure == "high" else sure,
            )


def _clusters(mesh: Mesh) -> tuple[frozenset[str], str | None]:
    """Names of clusters that istiod knows, and how sure it is that there are no others."""
    own = _own_name(mesh)
    secrets = [secret for secret in mesh.scope.of("", "Secret") if secret.labels.get(_LABEL) == "true"]
    keys = {key for secret in secrets for key in _keys(secret)}
    if own is None or "" in keys or _made_elsewhere(mesh):
        return _REGISTRIES, None
    known = _REGISTRIES | keys | own
    evidence = mesh.scope.evidence("", "Secret", mesh.config.root)
    if evidence is Evidence.CLOSED:
        return known, "high" if own else "medium"
    return known, "low" if secrets and not mesh.settings.remainder else None


def _own_name(mesh: Mesh) -> set[str] | None:
    """What the cluster of the control plane is called; empty if nothing says so, None if that is open."""
    found = set()
    for fact in (
        mesh.config.injector_value("global", "multiCluster", "clusterName"),
        mesh.config.feature("CLUSTER_ID"),
    ):
        if not fact.known or is_placeholder(str(fact.value or "")):
            return None
        found |= {str(fact.value)} if fact.value else set()
    return found


def _values_given(mesh: Mesh) -> bool:
    """Does the input hold what names the cluster of istiod? A ConfigMap of the mesh does not."""
    sources = mesh.config.sources
    return any(s.values is not None or s.env is not None for s in sources)


def _slip(registry: str, known: frozenset[str]) -> bool:
    """Is it a known name in another case? Any other may be that of istiod's own cluster."""
    return registry.casefold() in {name.casefold() for name in known}


def _keys(secret: Resource) -> Iterator[str]:
    """The clusters of a remote secret; '' for one that a template names."""
    for field in ("data", "stringData"):
        written = secret.get(field)
        if isinstance(written, YamlMapping):
            yield from ("" if is_placeholder(key) else key for key in written)
        elif text_of(written):
            yield ""


def _made_elsewhere(mesh: Mesh) -> bool:
    """Does another tool make remote secrets, whose keys are not in the input?"""
    if any(kind == "Secret" and _NAMED_BY_ISTIOCTL in name for kind, name in mesh.settings.may_exist):
        return True
    if mesh.scope.beside.any_of("Secret", mesh.config.root):
        return True
    for (group, kind), path in _MAKERS.items():
        for maker in mesh.scope.of(group, kind):
            labels = maker.mapping(*path)
            if labels is not None and _LABEL in labels.index:
                return True
    return False
