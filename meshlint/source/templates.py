"""Is a text or a value made by a template language? (spec repositories 1 and 2)

Helm charts and Jinja files are no manifests until they are rendered, but they name objects, and those
may exist. A document that is YAML and carries ``{{`` inside quoted text or a block scalar (alerts,
dashboards, rollouts) is a manifest: its markers belong to somebody who reads them in the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshlint.source.files import Document
from meshlint.source.nodes import Mapping, Node, Scalar

_PLACEHOLDER = re.compile(
    r"""\{\{ | \{% | <% | \[\[ | @@                 # Go templates, Jinja, ERB
      | \$\{ | \$\( | ^\$[A-Za-z_]\w*$ | \#\{       # shell, Flux, kustomize vars, token replacers
      | ^<[^<>]+>$ | ^@\w+@$ | __[A-Z][A-Z0-9_]*__  # <your-domain>, @DOMAIN@, __DOMAIN__
      | ^(?:PATCH|REPLACE|CHANGE)_?ME | PLACEHOLDER
      | ^[A-Z0-9]+_[A-Z0-9_]*\.                     # DEX_SERVICE.DEX_NAMESPACE
    """,
    re.VERBOSE,
)

#: a character that each of them has: most texts have none, and that is told at once
_SUSPECT = re.compile(r"[{<\[@$#_A-Z]")
_MARKER = re.compile(r"\{\{|\{%|<%")
_REASONS = {"{{": "helm-template", "{%": "jinja-template", "<%": "erb-template"}
#: what a text template does between the braces, as opposed to `{{ $labels.pod }}` or `{{workflow.uid}}`
_RENDERED = re.compile(
    r"\{\{-?\s*(?:\.|\$\.|/\*|\(|\"|(?:if|else|end|range|with|include|template|define|block|tpl|default|quote"
    r"|required|toYaml|printf|lookup|index|not|and|or|eq|ne|fail|ternary|lower|upper|trunc)\b)|\{%|<%"
)
_YTT_VALUE = re.compile(r"[ \t]*#@[ \t]")
_KIND = re.compile(r"^([ \t]*)(?:- )?[\"']?kind[\"']?:[ \t]*[\"']?([A-Za-z]\w*)", re.MULTILINE)
_NAME = re.compile(r"^[ \t]*(?:- )?[\"']?name[\"']?:[ \t]*[\"']?([\w.-]+)[\"']?,?[ \t]*\r?$", re.MULTILINE)


def is_placeholder(text: str | None) -> bool:
    """Would another tool replace this value before the cluster sees it?"""
    if text is None or _SUSPECT.search(text) is None:
        return False
    return _PLACEHOLDER.search(text) is not None


def file_template(text: str) -> str | None:
    """The template language of a text that does not parse: that of its first marker outside comments."""
    for marker in _MARKER.finditer(text):
        line = text[text.rfind("\n", 0, marker.start()) + 1 : marker.start()]
        if not line.lstrip().startswith("#") and " #" not in line:
            return "jinja-template" if "{%" in text else _REASONS[marker.group()]
    return None


def document_template(document: Document, text: str, chart: bool) -> str | None:
    """The template language of a document that parses; None if it is a manifest as it stands.

    `text` is the document's own; `chart` tells that the file is in the templates of a Helm chart, where
    every marker is rendered, those in comments included.
    """
    if chart and "{{" in text:
        return "helm-template"
    if document.root is None:
        return None
    if "#@" in text and _has_computed_values(document):
        return "ytt-template"
    marker = _MARKER.search(text)
    if marker is None:
        return None
    reason = "jinja-template" if "{%" in text else _REASONS[marker.group()]
    return reason if _identity_is_rendered(document.root) or _content_is_rendered(document.root) else None


def noted(text: str) -> set[tuple[str, str]]:
    """The (kind, name) pairs that a template may define: each kind with the names up to the next one."""
    kinds = [(match.start(), match.group(1), match.group(2)) for match in _KIND.finditer(text)]
    top = [(start, kind) for start, indent, kind in kinds if not indent]
    kinds_at = top or [(start, kind) for start, _, kind in kinds]
    if not kinds_at:
        return set()
    found = set()
    at = 0
    for match in _NAME.finditer(text):
        while at + 1 < len(kinds_at) and kinds_at[at + 1][0] < match.start():
            at += 1
        found.add((kinds_at[at][1], match.group(1)))
    return found


def _has_computed_values(document: Document) -> bool:
    """Ytt computes a value in a comment, so that YAML sees none there."""
    text = document.file.text
    return document.root is not None and any(
        isinstance(node, Scalar) and not node.text and _YTT_VALUE.match(text, node.end)
        for node in _suspects(document.root)
    )


def _identity_is_rendered(root: Node) -> bool:
    paths = (("kind",), ("apiVersion",), ("metadata", "name"), ("metadata", "namespace"))
    nodes = [root.dig(*path) for path in paths]
    return any(isinstance(node, Scalar) and _MARKER.search(node.text) for node in nodes)


def _content_is_rendered(root: Node) -> bool:
    """``{{ x }}`` as a whole value reads as a mapping in a mapping; within plain text, look what it does."""
    return any(_RENDERED.search(node.text) if isinstance(node, Scalar) else True for node in _suspects(root))


def _suspects(root: Node) -> Iterator[Node]:
    """Plain scalars, and keys that are no scalars."""
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Scalar):
            if not node.style:
                yield node
        elif isinstance(node, Mapping):
            for key, value in node.items:
                if not isinstance(key, Scalar):
                    yield key
                else:
                    stack.append(key)
                stack.append(value)
        else:
            stack.extend(node.items)
