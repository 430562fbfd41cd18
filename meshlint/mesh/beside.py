"""What is in the cluster beside the input, as the user says? (spec repositories 5)

Operators, installers and people make objects that no file of the input holds. The configuration names them
per kind, as ``namespace/name`` or a name for any namespace, both with globs; for the kind ``Host`` it names
hosts of ServiceEntries.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from meshlint.records import dataclass

HOST: Final = "Host"
#: kinds of objects that have an effect only where something names them
_NAMED: Final = frozenset(
    {HOST, "Secret", "ConfigMap", "Service", "ServiceAccount", "Namespace", "Gateway", "GatewayClass"}
)
#: kinds that make pods, which selectors find whatever made them
_PODS: Final = ("Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


@dataclass(frozen=True, slots=True)
class Beside:
    """`entries` are patterns per kind."""

    entries: Mapping[str, tuple[str, ...]]

    def holds(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Is there an object of that name? Without a namespace: in any."""
        return any(_fits(pattern, name, namespace) for pattern in self.entries.get(kind, ()))

    def any_of(self, kind: str, namespace: str | None = None) -> bool:
        """Are there objects of the kind?"""
        return any(_home_fits(pattern, namespace) for pattern in self.entries.get(kind, ()))

    def may_apply(self, kind: str, namespace: str | None) -> bool:
        """Are there objects of a kind that has its effect on others without being named?"""
        if kind in _PODS:
            return any(self.any_of(maker, namespace) for maker in _PODS)
        return kind not in _NAMED and self.any_of(kind, namespace)


def _fits(pattern: str, name: str, namespace: str | None) -> bool:
    return fnmatchcase(name, pattern.rpartition("/")[2]) and _home_fits(pattern, namespace)


def _home_fits(pattern: str, namespace: str | None) -> bool:
    home, slash, _ = pattern.rpartition("/")
    return not slash or namespace is None or fnmatchcase(namespace, home)
