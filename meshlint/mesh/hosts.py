"""Which host does a string name, and do two hosts overlap? (spec traffic 1.1 to 1.3)

Comparison is on raw strings, as in Istio: no case folding, no folding of a trailing dot.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final, Generic, TypeVar

T = TypeVar("T")

DEFAULT_DOMAIN: Final = "cluster.local"
_LABEL: Final = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?\Z")
_WILD_LABEL: Final = re.compile(r"\*(?:-?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)?\Z")


def resolve(host: str, namespace: str, domain: str = DEFAULT_DOMAIN) -> str:
    """The full name of a host that an object of `namespace` writes; only dotless names are extended."""
    if not host or host == "*" or "." in host or is_ip(host):
        return host
    return f"{host}.{namespace}.svc.{domain}"


def is_ip(host: str) -> bool:
    if not (host[:1].isdigit() or ":" in host):
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_wild(host: str) -> bool:
    return host.startswith("*")


def is_dns_name(host: str) -> bool:
    """An FQDN as Istio's webhook accepts it; a short name is one of one label."""
    name = host.removesuffix(".")
    labels = name.split(".")
    if not name or len(host) > 255 or labels[-1].isdigit():
        return False
    return all(len(label) <= 63 and _LABEL.match(label) for label in labels)


def is_wildcard_domain(host: str) -> bool:
    """An FQDN whose first label may be ``*``, ``*suffix`` or ``*-suffix``; or exactly ``*``."""
    if host == "*":
        return True
    first, _, rest = host.partition(".")
    if not is_wild(host):
        return is_dns_name(host)
    if len(host) > 255 or len(first) > 63 or not _WILD_LABEL.match(first):
        return False
    return "." not in host or is_dns_name(rest)


def overlap(left: str, right: str) -> bool:
    """Could one name be in both? Symmetric."""
    if left.startswith("*"):
        if right.startswith("*"):
            return left.endswith(right[1:]) or right.endswith(left[1:])
        return right.endswith(left[1:])
    if right.startswith("*"):
        return left.endswith(right[1:])
    return left == right


def covers(outer: str, inner: str) -> bool:
    """Is every name of `inner` in `outer`?"""
    if not outer.startswith("*"):
        return outer == inner
    if inner.startswith("*"):
        return len(inner) >= len(outer) and inner[1:].endswith(outer[1:])
    return inner.endswith(outer[1:])


def intersect(left: Iterable[str], right: Iterable[str]) -> list[str]:
    """Of each overlapping pair the narrower host, without repetition."""
    others = tuple(right)
    found: dict[str, None] = {}
    for one in left:
        for other in others:
            if covers(one, other):
                found[other] = None
            elif covers(other, one):
                found[one] = None
    return list(found)


def specificity(host: str) -> tuple[bool, int, str]:
    """Sort key: exact before wildcard, longer before shorter, then alphabetical."""
    return (is_wild(host), -len(host), host)


class HostIndex(Generic[T]):
    """Things by host, exact or wildcard, found without scanning."""

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = defaultdict(list)
        self._wild: dict[str, list[T]] = defaultdict(list)
        self._lengths: list[int] | None = None
        self._suffixes: dict[str, list[str]] | None = None

    def add(self, host: str, thing: T) -> None:
        self._lengths = self._suffixes = None
        if host.startswith("*"):
            self._wild[host[1:]].append(thing)
        else:
            self._exact[host].append(thing)

    def exact(self, host: str) -> list[T]:
        """Things registered under this very string."""
        table, key = (self._wild, host[1:]) if host.startswith("*") else (self._exact, host)
        return table.get(key, [])

    def covering(self, host: str) -> list[T]:
        """Things whose host covers `host`: the exact ones, then wildcards, longest first."""
        found = [] if host.startswith("*") else list(self._exact.get(host, ()))
        tail = host.removeprefix("*")
        for length in self._wild_lengths():
            if length <= len(tail):
                found += self._wild.get(tail[len(tail) - length :], ())
        return found

    def best(self, host: str) -> list[T]:
        """Things under the most specific host that covers `host`."""
        if not host.startswith("*") and host in self._exact:
            return self._exact[host]
        tail = host.removeprefix("*")
        for length in self._wild_lengths():
            if length <= len(tail):
                found = self._wild.get(tail[len(tail) - length :])
                if found:
                    return found
        return []

    def within(self, host: str) -> list[T]:
        """Things with an exact host that `host`, perhaps a wildcard, covers."""
        if not host.startswith("*"):
            return self._exact.get(host, [])
        tail = host[1:]
        if not tail:
            return [thing for things in self._exact.values() for thing in things]
        dot = tail.find(".")
        if dot < 0:
            return [t for name, things in self._exact.items() if name.endswith(tail) for t in things]
        names = self._by_suffix().get(tail[dot:], ())
        return [thing for name in names if name.endswith(tail) for thing in self._exact[name]]

    def overlapping(self, host: str) -> bool:
        """Is there a thing under a host that has a name in common with `host`?"""
        if self.covering(host) or self.within(host):
            return True
        return host.startswith("*") and any(tail.endswith(host[1:]) for tail in self._wild)

    def _wild_lengths(self) -> list[int]:
        if self._lengths is None:
            self._lengths = sorted({len(tail) for tail in self._wild}, reverse=True)
        return self._lengths

    def _by_suffix(self) -> dict[str, list[str]]:
        if self._suffixes is None:
            suffixes: dict[str, list[str]] = defaultdict(list)
            for name in self._exact:
                at = name.find(".")
                while at >= 0:
                    suffixes[name[at:]].append(name)
                    at = name.find(".", at + 1)
            self._suffixes = suffixes
        return self._suffixes
