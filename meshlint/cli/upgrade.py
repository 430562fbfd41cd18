"""`meshlint upgrade --from X --to Y`: what changes for these manifests between two releases of Istio?

The report holds what behaves differently (the rule behaviour-change), and what is wrong for the new release
and was fine for the old one: versions no longer served, fields that are gone, new refusals. `meshlint lint
--upgrade-from X --upgrade-to Y` writes the same report.
"""

from __future__ import annotations

from typing import Any, Final

import click

from meshlint.cli import lint as lint_command
from meshlint.cli.main import SETTINGS
from meshlint.cli.options import is_release

#: options of `lint` that mean nothing where two releases are compared
_FOREIGN: Final = frozenset(("istio_version", "report_only", "no_cache", "upgrade_from", "upgrade_to"))


@click.command(
    "upgrade",
    context_settings=SETTINGS,
    params=[parameter for parameter in lint_command.command.params if parameter.name not in _FOREIGN],
)
@click.option("--from", "upgrade_from", required=True, metavar="X.Y", callback=is_release, help="Istio now.")
@click.option("--to", "upgrade_to", required=True, metavar="X.Y", callback=is_release, help="Istio then.")
def command(paths: tuple[str, ...], **options: Any) -> int:
    """Report what changes for manifests between two releases of Istio.

    What behaves differently, and what is wrong for the new release and was not for the old one. The exit
    code is that of `meshlint lint`.
    """
    unset = {"istio_version": None, "report_only": False, "no_cache": True}
    code = lint_command.command.callback(paths, **unset, **options)  # type: ignore[misc]
    return int(code)
