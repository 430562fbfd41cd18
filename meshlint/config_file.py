""".meshlint.yaml -> Config.

`schemas/config.schema.json` is the one description of the file: what is written is checked against
it, and every complaint names file, line, what was found and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshlint.config import Config, ConfigError, PathRules, config_from
from meshlint.policy.names import Names, closest
from meshlint.policy.rules import Rule, schemas_directory
from meshlint.policy.shape import Mismatch, complaint, complaints, mismatches
from meshlint.source.decode import DecodeError, decode
from meshlint.source.discover import shown
from meshlint.source.files import Document
from meshlint.source.nodes import Mapping as MappingNode
from meshlint.source.nodes import Node, Scalar, texts
from meshlint.source.parse import parse


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with everything that is wrong with its shape."""
    name = shown(str(path))
    try:
        text, _ = decode(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    file = parse(name, text)
    wrong = list(complaints(file, schema()))
    if wrong:
        raise ConfigError("\n".join(wrong))
    document = next((d for d in file.documents if isinstance(d.root, MappingNode)), None)
    if document is None or not isinstance(document.root, MappingNode):
        return Config(root=path.parent, file=name)
    config = config_from({key: value.plain() for key, (_, value) in document.root.index.items()})
    lines = {key: file.position(node.start)[0] for key, (node, _) in document.root.index.items()}
    return replace(
        config,
        root=path.parent,
        file=name,
        paths=tuple(_with_lines(config.paths, document)),
        origins={key: f"{name}:{line}" for key, line in lines.items()},
        document=document,
    )


def check_names(config: Config, rules: Mapping[str, Rule], names: Names) -> None:
    """Do all rules and options that the file names exist? Raises ConfigError with those that do not."""
    document = config.document
    if document is None or not isinstance(document.root, MappingNode):
        return
    wrong = sorted(_unknown_names(document.root, rules, names), key=lambda mismatch: mismatch.node.start)
    if wrong:
        raise ConfigError("\n".join(complaint(document.file, mismatch) for mismatch in wrong))


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    text = (schemas_directory() / "config.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _with_lines(paths: Iterable[PathRules], document: Document) -> Iterator[PathRules]:
    entries = document.root.dig("paths") if document.root is not None else None
    for rules in paths:
        key = entries.key(rules.pattern) if isinstance(entries, MappingNode) else None
        yield replace(rules, line=document.file.position(key.start)[0] if key is not None else 0)


def _unknown_names(root: MappingNode, rules: Mapping[str, Rule], names: Names) -> Iterator[Mismatch]:
    lists = [(root.get(key), key) for key in ("select", "ignore")]
    paths = root.get("paths")
    if isinstance(paths, MappingNode):
        for pattern, (_, entry) in paths.index.items():
            lists += [(entry.dig(key), f"paths.{pattern}.{key}") for key in ("select", "ignore")]
    for node, path in lists:
        for item in texts(node):
            if not names.meaning(item.text) and not (item.text == "*" and path.startswith("paths.")):
                yield Mismatch(item, path, names.complaint(item.text))
    for path in ("severity", "options"):
        entries = root.get(path)
        if isinstance(entries, MappingNode):
            for key, value in entries.index.values():
                yield from _unknown_key(key, value, path, rules)


def _unknown_key(key: Scalar, value: Node, path: str, rules: Mapping[str, Rule]) -> Iterator[Mismatch]:
    """A key that should be the name of a rule, and below `options` the options of that rule."""
    rule = rules.get(key.text)
    if rule is None:
        near = closest(key.text, rules)
        hint = f"; did you mean {near!r}?" if near else ""
        yield Mismatch(key, path, f"there is no rule named {key.text!r}{hint}")
    elif path == "options":
        accepted = {"type": "object", "additionalProperties": False, "properties": rule.options}
        yield from mismatches(value, accepted, f"options.{rule.name}")
