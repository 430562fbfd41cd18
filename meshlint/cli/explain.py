"""`meshlint explain RULE`: what a rule finds and why, its options and examples."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from meshlint.cli.main import SETTINGS
from meshlint.cli.options import color_option, configured, rules_for, wants_color
from meshlint.cli.refusal import Refusal
from meshlint.config import Config
from meshlint.policy.names import Names
from meshlint.policy.rules import Example, Rule, load_rule, rules_directory
from meshlint.report.paint import Paint, paint


@click.command("explain", context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, metavar="RULE...")
@click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml.")
@click.option("--no-config", is_flag=True, help="Read no configuration file.")
@color_option
def command(names: tuple[str, ...], color: str, **options: Any) -> None:
    """Explain rules, by name or by the code of istioctl or Kiali (IST0102)."""
    config = configured((), options)
    rules = rules_for(config)
    known = Names(rules)
    meant: dict[str, Rule] = {}
    for name in names:
        found = known.meaning(name)
        if not found:
            raise Refusal(known.complaint(name))
        meant |= {rule: whole(rules[rule], config) for rule in sorted(found)}
    look = paint(wants_color(color, sys.stdout))
    click.echo("\n\n".join("\n".join(page(rule, look)) for rule in meant.values()))


def whole(rule: Rule, config: Config) -> Rule:
    """The rule with its examples, which the index leaves out."""
    if rule.examples:
        return rule
    path: Path = rules_directory() / rule.info.family / f"{rule.name}.yaml"
    return load_rule(path) if path.is_file() else rule


def page(rule: Rule, look: Paint) -> Iterator[str]:
    """The page of a rule, for a terminal."""
    info = rule.info
    title = f"{info.severity}[{info.name}]"
    yield look.severity(info.severity, title) + look.bold(f": {info.summary}")
    yield ""
    yield from (f"  {line}".rstrip() for line in info.why.strip().splitlines())
    yield ""
    yield f"  family: {info.family}   profile: {info.profile}   confidence: {info.confidence}"
    if rule.kinds:
        yield f"  looks at: {', '.join(rule.kinds)}"
    if info.equivalents:
        yield f"  the same in other tools: {', '.join(info.equivalents)}"
    if info.controls:
        yield f"  controls: {', '.join(info.controls)}"
    if rule.fix is not None:
        yield f"  fix ({rule.fix.safety}): {rule.fix.title}"
    if rule.options:
        yield from ("", look.bold("Options"), *_options(rule.name, rule.options))
    for example in rule.examples:
        yield from _example(example, look)
    if info.references:
        yield from ("", look.bold("References"), *(f"  {url}" for url in info.references))
    yield from ("", look.bold("Accept a finding"))
    yield f"  # meshlint: ignore[{info.name}] why this is fine here"


def _options(rule: str, options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, schema in options.items():
        yield f"  {name} ({schema['type']}, default {json.dumps(schema['default'], ensure_ascii=False)})"
        yield from textwrap.wrap(" ".join(schema["description"].split()), 96, initial_indent="      ",
                                 subsequent_indent="      ")  # fmt: skip
    first = next(iter(options))
    default = json.dumps(options[first]["default"], ensure_ascii=False)
    yield "  in .meshlint.yaml:"
    yield f"      options: {{{rule}: {{{first}: {default}}}}}"


def _example(example: Example, look: Paint) -> Iterator[str]:
    for kind in ("bad", "fixed", "good"):
        files: dict[str, str] | None = getattr(example, kind)
        if files is None:
            continue
        yield ""
        yield look.bold(f"{kind.capitalize()}: {example.name}")
        settings = {**({"options": example.options} if example.options else {}), **example.config}
        if settings:
            yield f"  with {json.dumps(settings, ensure_ascii=False)}"
        for name, text in files.items():
            if len(files) > 1:
                yield look.dim(f"  # {name}")
            yield from (_line(line, look) for line in text.rstrip().splitlines())


def _line(line: str, look: Paint) -> str:
    """A line of an example; the mark of a finding becomes an arrow."""
    text = line.rstrip()
    if not text.endswith("#!"):
        return f"    {text}".rstrip()
    return look.severity("error", f"  > {text.removesuffix('#!').rstrip()}")
