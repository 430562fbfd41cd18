"""Is a text a URL for Go's parser, on which Istio relies? (spec schemas 3.3)"""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*\Z")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_PORT: Final = re.compile(r"(?::[0-9]*)?\Z")
_IN_HOST: Final = re.compile(r"[a-zA-Z0-9\-._~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]*\Z")


def scheme_of(text: str) -> str:
    """The scheme in lower case; '' where there is none."""
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon and _SCHEME.match(scheme) else ""


def url_problem(text: str) -> str:
    """Why Go cannot parse the URL, as the end of a sentence; '' if it can."""
    if any(char < " " or char == "\x7f" for char in text):
        return "has a control character"
    rest = text.partition("#")[0].partition("?")[0]
    if text.startswith(":"):
        return "has no scheme before its colon"
    scheme = scheme_of(text)
    rest = rest[len(scheme) + 1 :] if scheme else rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        return _authority_problem(authority) or _escape_problem(slash + path)
    if not scheme and ":" in rest.partition("/")[0]:
        return "has a colon in its first segment"
    return "" if scheme and not rest.startswith("/") else _escape_problem(rest)


def _authority_problem(authority: str) -> str:
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        inside, bracket, port = host.partition("]")
        if not bracket:
            return "has a [ without its ]"
        host = inside[1:]
    else:
        name, _, _ = host.rpartition(":")
        port = host[len(name) :] if ":" in host else ""
        host = name if ":" in host else host
    if not _PORT.match(port):
        return "has a port that is no number"
    if not _IN_HOST.match(host):
        return "has a host with characters that no host has"
    return _escape_problem(host)


def _escape_problem(text: str) -> str:
    return "has a % that begins no escape such as %20" if _BAD_ESCAPE.search(text) else ""
