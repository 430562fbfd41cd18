"""Documents -> resources: which Kubernetes objects does the input hold, and who are they?

Identity is group + kind + namespace + name. `List` kinds are unwrapped. A document that is no
Kubernetes object (no `kind` and `apiVersion`) gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from meshlint.records import dataclass
from meshlint.source.changes import Reading, changed, copied
from meshlint.source.files import Document, SourceFile
from meshlint.source.nodes import Mapping, Node, Scalar, Sequence, mappings, string_map, text_of

#: Kinds without a namespace, among those that meshlint reads.
CLUSTER_SCOPED = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding",
        "CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
        "GatewayClass", "IngressClass", "StorageClass", "PriorityClass", "APIService",
        "IstioRevision", "IstioRevisionTag", "IstioCNI", "ZTunnel", "ClusterIssuer", "ClusterPolicy",
        "CertificateSigningRequest", "ClusterSecretStore", "ClusterExternalSecret",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "PodSecurityPolicy",
    }
)  # fmt: skip

#: kinds that get no prefixes and suffixes from kustomize
_NEVER_RENAMED = frozenset({"Namespace", "CustomResourceDefinition", "APIService"})


class Resource:
    """One Kubernetes object of the input.

    `namespace` is the effective one (`default` where a namespaced object names none) and None for
    cluster-scoped kinds. `key` is (group, kind, namespace, name). `build` is the namespace into which a
    kustomization builds it, whatever it names itself; a Namespace gets that name. What
    is the name of an object that is `renamed` is open.
    """

    def __init__(
        self,
        document: Document,
        root: Mapping,
        default_namespace: str = "default",
        *,
        build: str | None = None,
        renamed: bool = False,
    ) -> None:
        self.document = document
        self.root = root
        self.api_version = text_of(root.get("apiVersion")) or ""
        self.kind = text_of(root.get("kind")) or ""
        group, slash, version = self.api_version.partition("/")
        self.group = group if slash else ""
        self.version = version if slash else group
        metadata = root.get("metadata")
        self.metadata = metadata if isinstance(metadata, Mapping) else None
        self.name = (text_of(self.metadata.get("name")) or "") if self.metadata else ""
        self.build = build
        if build and self.kind == "Namespace" and not self.group:
            self.name = build
        if renamed and self.name and self.kind not in _NEVER_RENAMED:
            self.name = f"${{{self.name}}}"
        written = text_of(self.metadata.get("namespace")) if self.metadata else None
        #: whether the manifest itself names a namespace
        self.namespace_written = bool(written)
        #: 'Istio' of Kyma and of Sail share a kind; only Sail's is cluster-scoped
        cluster = self.kind in CLUSTER_SCOPED or self.group == "sailoperator.io"
        self.namespace: str | None = None if cluster else (build or written or default_namespace)
        #: namespace as a plain string, '' for cluster-scoped kinds: for comparing and indexing
        self.ns = self.namespace or ""

    @property
    def file(self) -> SourceFile:
        return self.document.file

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.group, self.kind, self.ns, self.name)

    @property
    def title(self) -> str:
        """How messages call it: ``Deployment shop/cart``."""
        return f"{self.kind} {self.ns}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def get(self, *path: str | int) -> Node | None:
        return self.root.dig(*path)

    def text(self, *path: str | int) -> str | None:
        return text_of(self.root.dig(*path))

    def mapping(self, *path: str | int) -> Mapping | None:
        node = self.root.dig(*path)
        return node if isinstance(node, Mapping) else None

    def mappings(self, *path: str | int) -> list[Mapping]:
        """The mapping items of the list at `path`; [] where there is none."""
        return mappings(self.root.dig(*path))

    @cached_property
    def labels(self) -> dict[str, str]:
        return string_map(self.metadata.get("labels")) if self.metadata else {}

    @cached_property
    def annotations(self) -> dict[str, str]:
        return string_map(self.metadata.get("annotations")) if self.metadata else {}

    def place(self, node: Node | None = None, part: str = "value") -> Place:
        """The place of a node of this resource; without one, of its name."""
        return Place(self, node if node is not None else self._name_node(), part)

    def place_at(self, *path: str | int, part: str = "value", inside: Node | None = None) -> Place:
        """The place at a path, or of the deepest part of the path that exists.

        `part` is 'value', 'key' or 'pair' (key and value); a key is only known for mapping entries.
        The path starts at the document, or at the node `inside`; where nothing of it exists, the
        place is the name of the resource, or the first key of that node.
        """
        start = node = self.root if inside is None else inside
        key: Scalar | None = None
        for step in path:
            below = node.dig(step)
            if below is None:
                break
            key = node.key(str(step)) if isinstance(node, Mapping) else None
            node = below
        if node is start:
            return self.place() if inside is None else Place(self, _first_key(inside))
        if part == "key" and key is not None:
            return Place(self, key, "value")
        if part == "pair" and key is not None:
            return Place(self, node, "pair", key)
        return Place(self, node, "value")

    def _name_node(self) -> Node:
        if self.metadata is not None:
            name = self.metadata.get("name") or self.metadata.get("generateName")
            if name is not None:
                return name
        return self.root.get("kind") or self.root

    def __repr__(self) -> str:
        return f"<{self.title} {self.file.path}>"


def _first_key(node: Node) -> Node:
    return node.items[0][0] if isinstance(node, Mapping) and node.items else node


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A symbolic place: a node of a resource. It becomes a span only when a finding is printed."""

    resource: Resource
    node: Node
    part: str = "value"
    key: Scalar | None = None

    @property
    def offsets(self) -> tuple[int, int]:
        start = self.key.start if self.part == "pair" and self.key is not None else self.node.start
        return start, self.node.end

    @property
    def text(self) -> str:
        return self.node.text if isinstance(self.node, Scalar) else ""


@dataclass(frozen=True, slots=True, eq=False)
class TextPlace:
    """A place in a text that is no node of a resource: broken YAML, a comment."""

    file: SourceFile
    start: int
    end: int


def resources_in(
    files: Iterable[SourceFile], default_namespace: str = "default", reading: Reading = Reading.OPEN
) -> list[Resource]:
    """All objects of the files in input order; kustomize patches are left out.

    An object that kustomizations build into several namespaces is there once for each.
    """
    found: list[Resource] = []
    for file in files:
        for document in file.documents:
            if document.patch:
                continue
            if file.builds == (None,) and not file.changes and not file.renamed:
                found += resources_of(document, default_namespace)
            else:
                for resource in resources_of(document, default_namespace):
                    found += _built(resource, default_namespace, reading)
    return found


def _built(resource: Resource, default_namespace: str, reading: Reading) -> Iterator[Resource]:
    """What builds make of an object; each has nodes of its own."""
    file, root, labels = resource.file, resource.root, resource.labels
    changes = () if reading is Reading.WRITTEN else [
        change
        for part in file.changes
        for change in part.of(resource.group, resource.kind, resource.name, labels)
    ]  # fmt: skip
    namespaced = resource.namespace is not None or resource.kind == "Namespace"
    renamed = file.renamed and reading is not Reading.WRITTEN
    known: set[tuple[str, str]] = set()
    tree = changed(root, changes, reading) if changes else root
    if tree is None:
        return
    for build in file.builds if namespaced else file.builds[:1]:
        tree = copied(tree) if known else tree
        built = Resource(resource.document, tree, default_namespace, build=build, renamed=renamed)
        if (built.ns, built.name) not in known:
            known.add((built.ns, built.name))
            yield built


def resources_of(document: Document, default_namespace: str = "default") -> Iterator[Resource]:
    """The objects of one document; `List` kinds unwrapped at any depth."""
    pending: list[Node | None] = [document.root]
    while pending:
        root = pending.pop()
        if not isinstance(root, Mapping):
            continue
        kind, version = root.get("kind"), root.get("apiVersion")
        if not isinstance(kind, Scalar) or not isinstance(version, Scalar) or not kind.text:
            continue
        if version.text.startswith("kustomize.config.k8s.io/"):
            continue
        items = root.get("items")
        if kind.text.endswith("List") and isinstance(items, Sequence):
            pending.extend(reversed(items.items))
        else:
            yield Resource(document, root, default_namespace)
