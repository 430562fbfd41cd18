"""Is this text what Istio's validation takes for a field of that sort? (spec schemas 3.2, H1 to H13)

Every `*_problem` function gives '' for a text that is accepted, else the reason as the end of a
sentence ("... is longer than 63 characters"). Durations are in `meshlint.mesh.durations` (H4), host
overlap is in `meshlint.mesh.hosts` (H9).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from meshlint.checks.admission.re2 import why_not_re2
from meshlint.mesh.hosts import is_dns_name, is_wildcard_domain

_LABEL: Final = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?\Z")
_QUALIFIED: Final = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_KEY_PREFIX: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_CLAIM: Final = re.compile(r"@request\.auth\.claims(?:\..+|\[.+\].*)\Z", re.IGNORECASE | re.DOTALL)
_MASK: Final = re.compile(r"(?:0|[1-9][0-9]{0,2})\Z")
_V4: Final = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})\Z")
#: an escaped per cent sign, or %NAME%, %NAME(text)%, %NAME(["a", "b"])%, the last two with a length
_COMMAND: Final = re.compile(
    r"""%% | %[^%(]+% | %[^%(]*\(\s*
        (?: \[\s* "(?:[^"\\]|\\.)*" (?:\s*,\s*"(?:[^"\\]|\\.)*")* \s*\]\s* | (?:[^\[\s)](?:[^)\\]|\\.)*)? )
        \)\s* (?::[0-9]+)? %""",
    re.VERBOSE | re.DOTALL,
)

HTTP: Final = frozenset({"http", "http2", "http_proxy", "grpc", "grpc-web"})
TLS: Final = frozenset({"https", "tls"})
#: "TCP family": what rules about opaque ports mean; TLS is a part of it
TCP: Final = frozenset({"tcp", "https", "tls", "mongo", "redis", "mysql"})
PROTOCOLS: Final = HTTP | TCP | {"udp"}
#: in bytes
LONGEST_REGEX: Final = 1024
#: how addresses begin that are paths of Unix domain sockets
UNIX: Final = "unix://"


def label_problem(text: str) -> str:
    """H1, a DNS label of either case."""
    if not text:
        return "is empty"
    if len(text) > 63:
        return "is longer than 63 characters"
    return "" if _LABEL.match(text) else "is no DNS label (letters, digits and inner hyphens)"


def domain_problem(text: str) -> str:
    """H2, a domain name without wildcard."""
    return _domain_length(text) or ("" if is_dns_name(text) else "is no domain name")


@lru_cache(maxsize=4096)
def wildcard_domain_problem(text: str) -> str:
    """H3, a domain name whose first label may be or begin with a star."""
    return _domain_length(text) or (
        "" if is_wildcard_domain(text) else "is neither a domain name nor one with a leading *"
    )


def _domain_length(text: str) -> str:
    if not text:
        return "is empty"
    return "is longer than 255 characters" if len(text) > 255 else ""


def port_problem(number: int) -> str:
    """H5."""
    return "" if 1 <= number <= 65535 else "is outside of 1 to 65535"


def ip_problem(text: str) -> str:
    """H13, an address as Go's netip reads it: no leading zeros; an IPv6 zone is allowed."""
    return "" if _is_ip(text) else "is no IP address"


def _is_ip(text: str) -> bool:
    try:
        if ":" in text:
            IPv6Address(text)
            return True
        return _V4.match(text) is not None and bool(IPv4Address(text))
    except ValueError:
        return False


def subnet_problem(text: str) -> str:
    """H6, an address or a CIDR; bits right of the mask may be set."""
    address, slash, mask = text.partition("/")
    if not slash:
        return "" if _is_ip(text) else "is neither an IP address nor a CIDR"
    widest = 128 if ":" in address else 32
    if not _is_ip(address) or "%" in address or not _MASK.match(mask) or int(mask) > widest:
        return "is no CIDR"
    return ""


def label_key_problem(text: str) -> str:
    """H7, the key of a label: an optional DNS prefix and a name."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _KEY_PREFIX.match(prefix)):
        return "has a prefix that is no DNS name"
    if not name:
        return "is empty" if not slash else "has no name after the slash"
    if len(name) > 63:
        return "is longer than 63 characters"
    return "" if _QUALIFIED.match(name) else "is no label key (letters, digits, '-', '_' and '.' inside)"


def label_value_problem(text: str) -> str:
    """H7, the value of a label; Istio does not look at its length."""
    if not text or _QUALIFIED.match(text):
        return ""
    return "is no label value (letters, digits, '-', '_' and '.' inside)"


def protocol_problem(text: str) -> str:
    """H8, the protocol of a port in any case."""
    if not text:
        return "is empty"
    return "" if text.lower() in PROTOCOLS else "is no protocol that Istio knows"


def regex_problem(text: str) -> str:
    """H10, a regular expression in Go's dialect; the limit of Istio counts bytes."""
    if not text:
        return "is empty"
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_REGEX:
        return f"is longer than {LONGEST_REGEX} characters"
    return why_not_re2(text)


def is_claim_header(text: str) -> bool:
    """H11, ``@request.auth.claims.name`` or ``@request.auth.claims[name]``, in any case."""
    return _CLAIM.match(text) is not None


def unix_path_problem(text: str) -> str:
    """H12, what follows ``unix://``; an abstract socket begins with @."""
    if not text:
        return "has no path"
    if text.startswith("@"):
        return ""
    if not text.startswith("/"):
        return "is a relative path"
    return "is a directory" if text.endswith("/") else ""


def header_name_problem(text: str) -> str:
    """A header name: a token of RFC 7230."""
    if not text:
        return "is empty"
    return "" if _TOKEN.match(text) else "is no header name"


def header_value_problem(text: str) -> str:
    """A header value with Envoy's command operators, ``%START_TIME(%Y)%``; ``%%`` is a per cent sign."""
    for char in text:
        if (char < " " and char != "\t") or char == "\x7f":
            return "has a control character"
    return _command_problem(text)


def _command_problem(text: str) -> str:
    at = 0
    while (at := text.find("%", at)) >= 0:
        found = _COMMAND.match(text, at)
        if found is None:
            if at + 1 == len(text):
                return "ends in a single %; a per cent sign is written %%"
            return "has a % that neither is doubled nor begins a whole command operator"
        at = found.end()
    return ""
