"""Which rules of a delegate VirtualService survive under a rule of their root? (spec traffic 1.15)

Istio merges each match of the delegate with each match of the root; a delegate's rule for which no
pair fits is dropped. Upstream: `mergeHTTPMatchRequests` and `hasConflict` of pilot.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING

from meshlint.source.nodes import Mapping, Node, Scalar, is_true, mappings, string_map, text_of, texts

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Resource

_EVERYBODY = frozenset({"*"})
STRING_FIELDS = ("uri", "scheme", "method", "authority")
MAP_FIELDS = ("headers", "withoutHeaders", "queryParams")


def is_delegate(resource: Resource) -> bool:
    """Is a VirtualService one without hosts, which only works where a root names it?"""
    spec = resource.mapping("spec")
    if spec is None:
        return False
    hosts = spec.get("hosts")
    return hosts is None or (not isinstance(hosts, Scalar | Mapping) and not hosts.items)


def default_exports(mesh: Mesh) -> frozenset[str]:
    """To whom the mesh configuration exports a VirtualService that does not say it itself."""
    setting = mesh.config.setting("defaultVirtualServiceExportTo").or_else(None)
    return frozenset(map(str, setting)) if isinstance(setting, list) and setting else _EVERYBODY


def exported_to(resource: Resource, namespace: str, default: frozenset[str] = _EVERYBODY) -> bool:
    """Does exportTo of a VirtualService let objects and proxies of the namespace see it? '': of all."""
    names = {item.text for item in texts(resource.get("spec", "exportTo"))} or default
    return "*" in names or namespace in names or ("." in names and namespace == resource.ns)


def survives(root: Mapping, leaf: Mapping) -> bool:
    """Does a delegate's rule have a match that fits a match of the root rule?"""
    roots, leaves = mappings(root.get("match")), mappings(leaf.get("match"))
    if not roots:
        return True
    if not leaves:
        return any(text_of(r.get("sourceNamespace")) is None for r in roots)
    return any(compatible(r, one) for r in roots for one in leaves)


def compatible(root: Mapping, leaf: Mapping) -> bool:
    """Can both matches hold for one request, as far as Istio merges them?"""
    if not all(_strings_fit(root.get(name), leaf.get(name)) for name in STRING_FIELDS):
        return False
    if is_true(root.get("ignoreUriCase")) != is_true(leaf.get("ignoreUriCase")):
        return False
    if not all(_maps_fit(root.get(name), leaf.get(name)) for name in MAP_FIELDS):
        return False
    port, leaf_port = text_of(root.get("port")), text_of(leaf.get("port"))
    if port and leaf_port and port != leaf_port:
        return False
    return _sources_fit(root, leaf)


def _sources_fit(root: Mapping, leaf: Mapping) -> bool:
    namespace = text_of(root.get("sourceNamespace"))
    if namespace and text_of(leaf.get("sourceNamespace")) != namespace:
        return False
    labels, leaf_labels = string_map(root.get("sourceLabels")), string_map(leaf.get("sourceLabels"))
    if any(labels.get(key, value) != value for key, value in leaf_labels.items()):
        return False
    gateways = {item.text for item in texts(root.get("gateways"))}
    return not gateways or {item.text for item in texts(leaf.get("gateways"))} <= gateways


def _maps_fit(root: Node | None, leaf: Node | None) -> bool:
    if not isinstance(root, Mapping) or not isinstance(leaf, Mapping):
        return True
    return all(_strings_fit(root.get(name), leaf.get(name)) for name in leaf)


def _strings_fit(root: Node | None, leaf: Node | None) -> bool:
    """One of the two says nothing, or the delegate's value lies within the root's."""
    outer, inner = _string_match(root), _string_match(leaf)
    if not outer or not inner:
        return True
    if "regex" in outer or "regex" in inner:
        return False
    if "exact" in outer:
        return inner.get("exact") == outer["exact"]
    prefix = outer.get("prefix", "")
    return inner.get("exact", inner.get("prefix", "")).startswith(prefix)


def _string_match(node: Node | None) -> MappingOf[str, str]:
    if not isinstance(node, Mapping):
        return {}
    return {kind: text for kind in ("exact", "prefix", "regex") if (text := text_of(node.get(kind)))}
