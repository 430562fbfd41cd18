"""What in a mesh configuration would istiod refuse? (spec security 7.1, 7.4)

istiod keeps its last good configuration when a new one is not valid, so one wrong value makes all facts
about the mesh configuration unknown. It refuses no extension providers: what is wrong with one is
logged, and of two with the same name the later one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshlint.mesh.installations import Layer, Source
from meshlint.resources import Place
from meshlint.source.nodes import Mapping, Node, Scalar, mappings
from meshlint.source.templates import is_placeholder

_TLS_VERSIONS: Final = ("TLS_AUTO", "TLSV1_2", "TLSV1_3")
_ENUMS: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("outboundTrafficPolicy", "mode"): ("REGISTRY_ONLY", "ALLOW_ANY"),
    ("inboundTrafficPolicy", "mode"): ("PASSTHROUGH", "LOCALHOST"),
    ("ingressControllerMode",): ("UNSPECIFIED", "OFF", "DEFAULT", "STRICT"),
    ("accessLogEncoding",): ("TEXT", "JSON"),
    ("pathNormalization", "normalization"): (
        "DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES",
    ),
    ("meshMTLS", "minProtocolVersion"): _TLS_VERSIONS,
    ("tlsDefaults", "minProtocolVersion"): _TLS_VERSIONS,
    ("defaultConfig", "interceptionMode"): ("REDIRECT", "TPROXY", "NONE"),
}  # fmt: skip
_BOOLEANS: Final[tuple[tuple[str, ...], ...]] = (
    ("enableAutoMtls",),
    ("enableTracing",),
    ("enablePrometheusMerge",),
    ("defaultConfig", "holdApplicationUntilProxyStarts"),
)
_STRINGS: Final[tuple[tuple[str, ...], ...]] = (("rootNamespace",), ("trustDomain",))


def problems_of(source: Source) -> Iterator[tuple[str, Place]]:
    """Each problem as a message with the place of the value."""
    for layer in source.mesh or ():
        resource = layer.resource
        if resource is not None and not layer.at:
            for message, node in _problems(layer):
                yield message, Place(resource, node)


def _problems(layer: Layer) -> Iterator[tuple[str, Node]]:
    root = layer.node
    if not isinstance(root, Mapping):
        if not (isinstance(root, Scalar) and (root.value is None or is_placeholder(root.text))):
            yield "the mesh configuration is no mapping", root
        return
    yield from _values(root)
    yield from _selectors(root)


def _values(root: Mapping) -> Iterator[tuple[str, Node]]:
    for path, allowed in _ENUMS.items():
        node = _set(root, path)
        if node is not None and (not isinstance(node, Scalar) or node.text not in allowed):
            yield f"{'.'.join(path)} is {_shown(node)}; it must be one of {', '.join(allowed)}", node
    for path in _BOOLEANS:
        node = _set(root, path)
        if node is not None and (not isinstance(node, Scalar) or not isinstance(node.value, bool)):
            yield f"{'.'.join(path)} is {_shown(node)}; it must be true or false", node
    for path in _STRINGS:
        node = _set(root, path)
        if node is not None and (not isinstance(node, Scalar) or node.string is None):
            yield f"{'.'.join(path)} is {_shown(node)}; it must be a string", node


def _selectors(root: Mapping) -> Iterator[tuple[str, Node]]:
    for selector in mappings(root.get("discoverySelectors")):
        labels = selector.get("matchLabels")
        for key, (_, value) in labels.index.items() if isinstance(labels, Mapping) else ():
            if not isinstance(value, Scalar) or (value.string is None and value.value is not None):
                yield f"discoverySelectors: the label {key} is {_shown(value)}; it must be a string", value


def _set(root: Mapping, path: tuple[str, ...]) -> Node | None:
    node = root.dig(*path)
    if isinstance(node, Scalar) and (node.value is None or is_placeholder(node.text)):
        return None
    return node


def _shown(node: Node) -> str:
    return f"`{node.text}`" if isinstance(node, Scalar) else "a mapping or a list"
