"""`meshlint config show`: which configuration is in force, and where does each value come from?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from meshlint.cli.main import SETTINGS
from meshlint.cli.options import configured, profile_option, rules_for, scope_options
from meshlint.config import DEFAULT_ORIGIN, Config


@click.group("config", context_settings=SETTINGS)
def command() -> None:
    """Show the configuration that is in force."""


@command.command("show", context_settings=SETTINGS)
@click.argument("paths", nargs=-1)
@click.option("--format", "format_", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@profile_option
@scope_options
def show(paths: tuple[str, ...], format_: str, **options: Any) -> None:
    """Show every value for the given paths (default: the current folder), and where it comes from."""
    config = configured(paths, options)
    rules_for(config)
    values = effective(config)
    if format_ == "json":
        document = {
            "file": config.file,
            "values": {key: {"value": value, "from": config.origin(key)} for key, value in values.items()},
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(config, values)))


def effective(config: Config) -> dict[str, Any]:
    """The values as the configuration file would write them."""
    settings = config.settings
    return {
        "profile": config.profile,
        "select": list(config.select),
        "ignore": list(config.ignore),
        "severity": dict(config.severity),
        "options": {name: dict(values) for name, values in config.options.items()},
        "paths": {rules.pattern: _path_rules(rules) for rules in config.paths},
        "rules": list(config.rule_files),
        "roots": list(config.roots) or ["."],
        "exclude": list(config.exclude),
        "failOn": config.fail_on,
        "platform": settings.platform,
        "complete": settings.complete or sorted(settings.complete_namespaces) or False,
        "present": {kind: list(names) for kind, names in settings.present.items()},
        "rootNamespace": settings.root_namespace,
        "defaultNamespace": config.default_namespace,
        "istioVersion": settings.istio_version,
        "gatewayApiVersion": settings.gateway_api_version,
        "gatewayApiChannel": settings.gateway_api_channel,
        "kubernetesVersion": settings.kubernetes_version,
        "upgradeFrom": settings.upgrade_from,
        "upgradeTo": settings.upgrade_to,
        "crds": list(config.crds),
        "meshConfig": settings.mesh_config,
        "productionNamespaces": list(settings.production_namespaces),
        "publicPaths": list(settings.public_paths),
    }


def _path_rules(rules: Any) -> dict[str, Any]:
    written = {"ignore": list(rules.ignore), "select": list(rules.select), "reason": rules.reason}
    return {key: value for key, value in written.items() if value}


def _lines(config: Config, values: dict[str, Any]) -> Iterator[str]:
    """Valid YAML, so that it can be the start of a configuration file."""
    yield f"# {config.file or 'no configuration file'}"
    entries = [
        (f"{key}: {json.dumps(value, ensure_ascii=False)}", config.origin(key))
        for key, value in values.items()
        if value is not None
    ]
    width = min(max(len(text) for text, _ in entries), 60)
    for text, origin in entries:
        yield f"{text:<{width}}  # {origin if origin != DEFAULT_ORIGIN else 'default'}"
