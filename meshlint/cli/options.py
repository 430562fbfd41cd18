"""The options that several commands share, and the configuration that they make."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from meshlint.cli.refusal import Refusal
from meshlint.config import Config, ConfigError, find_config
from meshlint.policy.rules import PROFILES

if TYPE_CHECKING:
    from meshlint.policy.rules import Rule

COLORS: Final = ("auto", "always", "never")

#: where `complete` comes from when it does not hold, because only a part is read
IN_PART: Final = "not in force: only a part of the folder is read"

#: options of releases, and the key of the configuration file that says the same
_VERSIONS: Final = {
    "istio_version": "istioVersion",
    "gateway_api_version": "gatewayApiVersion",
    "kubernetes_version": "kubernetesVersion",
}


def is_release(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Callback of options that take a release."""
    if value is not None and not re.fullmatch(r"[0-9]+\.[0-9]+(\.[0-9]+)?", value):
        raise click.BadParameter(f"{value!r} is no release such as 1.28", context, parameter)
    return value


_SCOPE_OPTIONS: Final = (
    click.option("--config", "config_file", metavar="FILE", help="Read this instead of .meshlint.yaml."),
    click.option("--no-config", is_flag=True, help="Read no configuration file."),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out files; as in .gitignore."),
    click.option("--platform", type=click.Choice(["kyma"]), help="What installs the mesh."),
    click.option("--complete", is_flag=True, help="Everything in the mesh is given: absence is a fact."),
    click.option("--istio-version", metavar="X.Y", callback=is_release, help="Istio that this is meant for."),
    click.option("--gateway-api-version", metavar="X.Y", callback=is_release, help="Gateway API likewise."),
    click.option("--kubernetes-version", metavar="X.Y", callback=is_release, help="Kubernetes likewise."),
)  # fmt: skip

color_option = click.option(
    "--color", type=click.Choice(COLORS), default="auto", show_default=True, help="When to use colors."
)


def scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is read, and as what kind of mesh."""
    for option in reversed(_SCOPE_OPTIONS):
        command = option(command)
    return command


def profile_option(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option("--profile", type=click.Choice(PROFILES), help="How much to ask for.")
    return option(command)


def configured(paths: Sequence[str], options: Mapping[str, Any]) -> Config:
    """The configuration file for some paths, under the options of the command line."""
    try:
        config = _from_file(paths, options)
    except ConfigError as error:
        raise Refusal(str(error)) from None
    if not _reads_all(config, paths, options):
        settings = replace(config.settings, complete=False, complete_namespaces=frozenset())
        config = config.override(IN_PART, "complete", settings=settings)
    if options.get("exclude"):
        patterns = (*config.exclude, *_rebased(options["exclude"], config.root))
        config = config.override("--exclude", "exclude", exclude=patterns)
    if options.get("platform"):
        settings = replace(config.settings, platform=options["platform"])
        config = config.override("--platform", "platform", settings=settings)
    if options.get("complete"):
        config = config.override("--complete", "complete", settings=replace(config.settings, complete=True))
    for name, key in _VERSIONS.items():
        if options.get(name):
            option = f"--{name.replace('_', '-')}"
            changes = {name: options[name]}
            config = config.override(option, key, settings=replace(config.settings, **changes))
    if options.get("profile"):
        config = config.override("--profile", "profile", profile=options["profile"])
    return config


def rules_for(config: Config) -> dict[str, Rule]:
    """All rules, or a refusal that says what is wrong with a rule file or with a name."""
    from meshlint.lint import rules_of
    from meshlint.policy.rules import RuleError

    try:
        return rules_of(config)
    except (RuleError, ConfigError) as error:
        raise Refusal(str(error)) from None


def names_in(values: Sequence[str]) -> tuple[str, ...]:
    """Comma lists of rules, families and codes."""
    return tuple(name for value in values for name in value.replace(",", " ").split())


def check_names(values: Sequence[str], option: str, rules: Mapping[str, Rule]) -> None:
    """A name that means nothing is a usage error."""
    from meshlint.policy.names import Names

    names = Names(rules) if values else None
    for name in names_in(values):
        if names is not None and not names.meaning(name):
            raise click.BadParameter(names.complaint(name), param_hint=option)


def roots(config: Config) -> tuple[str, ...]:
    """What is read when no path is given."""
    if not config.roots:
        return (".",)
    return tuple(os.path.relpath((config.root or Path()) / root) for root in config.roots)


def wants_color(when: str, stream: Any) -> bool:
    """--color, then NO_COLOR and FORCE_COLOR, then whether the stream is a terminal."""
    if when != "auto":
        return when == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def _from_file(paths: Sequence[str], options: Mapping[str, Any]) -> Config:
    named = options.get("config_file")
    if named and options.get("no_config"):
        raise click.UsageError("--config and --no-config exclude each other")
    if options.get("no_config"):
        return Config()
    found = Path(named) if named else find_config(_start(paths))
    if found is None:
        return Config()
    from meshlint.config_file import load_config

    return load_config(found)


def _reads_all(config: Config, paths: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Is everything read that a file calls complete? Its folder or its roots, or what a pipe brings."""
    settings = config.settings
    if not settings.complete and not settings.complete_namespaces:
        return True
    if "-" in paths:
        return True
    home = config.root or Path()
    inputs = roots(config) if options.get("report_only") or not paths else paths
    read = [Path(path).resolve() for path in inputs]
    wanted = [(home / root).resolve() for root in config.roots or (".",)]
    return all(any(root.is_relative_to(path) for path in read) for root in wanted)


def _start(paths: Sequence[str]) -> Path:
    """The folder where the search for a configuration file begins."""
    first = next((path for path in paths if path != "-"), ".")
    folder = Path(first)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _rebased(patterns: Sequence[str], root: Path | None) -> list[str]:
    """Patterns that are relative to the working directory, as patterns relative to the root."""
    here = os.path.relpath(".", root or ".").replace(os.sep, "/")
    if here == "." or here.startswith(".."):
        return list(patterns)
    return [f"{here}/{p.removeprefix('./')}" if "/" in p.rstrip("/") else p for p in patterns]
