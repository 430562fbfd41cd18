"""Is a text a URL for Go's parser, on which Istio relies? (spec schemas 3.3)"""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*\Z")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
#: in hosts only bytes outside of ASCII are escaped, and the per cent sign itself
_BAD_HOST_ESCAPE: Final = re.compile(r"%(?![89a-fA-F][0-9a-fA-F]|25)")
_PORT: Final = re.compile(r"[0-9]*\Z")
_IN_HOST: Final = re.compile(r"[a-zA-Z0-9\-._~!$&'()*+,;=<>\]\"%\x80-\U0010ffff]*\Z")
_IN_USER: Final = re.compile(r"[a-zA-Z0-9\-._:~!$&'()*+,;=%@]*\Z")


def scheme_of(text: str) -> str:
    """The scheme in lower case; '' where there is none."""
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon and _SCHEME.match(scheme) else ""


def url_problem(text: str, requested: bool = False) -> str:
    """Why Go cannot parse the URL, as the end of a sentence; '' if it can.

    `requested`: as in the first line of a request, where # begins no fragment.
    """
    whole, _, fragment = (text, "", "") if requested else text.partition("#")
    if any(char < " " or char == "\x7f" for char in whole):
        return "has a control character"
    if whole.startswith(":"):
        return "has no scheme before its colon"
    scheme = scheme_of(whole)
    rest = whole[len(scheme) + 1 :] if scheme else whole
    return _hierarchy_problem(rest.partition("?")[0], scheme) or _escape_problem(fragment)


def _hierarchy_problem(rest: str, scheme: str) -> str:
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        return _authority_problem(authority) or _escape_problem(slash + path)
    if scheme and not rest.startswith("/"):
        return ""
    if not scheme and ":" in rest.partition("/")[0]:
        return "has a colon in its first segment"
    return _escape_problem(rest)


def _authority_problem(authority: str) -> str:
    user, _, host = authority.rpartition("@")
    if not _IN_USER.match(user) or _BAD_ESCAPE.search(user):
        return "has a user name with characters that need an escape"
    if host.startswith("["):
        inside, bracket, port = host[1:].partition("]")
        if not bracket:
            return "has a [ without its ]"
        host, colon, port = inside.replace(":", ""), port[:1], port[1:]
        if colon not in ("", ":"):
            return "has something behind its address that is no port"
    else:
        host, _, port = host.partition(":")
    if not _PORT.match(port):
        return "has a port that is no number"
    if not _IN_HOST.match(host) or _BAD_HOST_ESCAPE.search(host):
        return "has a host with characters that no host has"
    return ""


def _escape_problem(text: str) -> str:
    return "has a % that begins no escape such as %20" if _BAD_ESCAPE.search(text) else ""
