"""Which values of a long list in an AuthorizationPolicy could match a request? (spec security 5.4)

An index for lists of thousands. Values that it leaves out do not match; where several would give the same
answer, as all do for a caller whose name is unknown, one of them stands for all. Whether one of those that
are left matches is decided in `values.py`, value by value, as it is for short lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.mesh.values import EVERY_ADDRESS, never_a_request_principal, request_principal_parts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.authz import Request

#: shorter lists are not worth an index
MANY: Final = 16

#: for one request and the namespace of the policy, the values that could match
Lookup = Callable[["Request", str], Iterable[str]]


class Candidates:
    """The values of one field of a policy, by the requests that they could match."""

    def __init__(self, field: str, texts: Iterable[str]) -> None:
        self._field = field
        self._texts = tuple(dict.fromkeys(texts))

    def of(self, request: Request, namespace: str) -> list[str]:
        """Values that could match; `namespace` is that of the policy."""
        return [*self._templated, *self._lookup(request, namespace)]

    @cached_property
    def _templated(self) -> list[str]:
        """A placeholder, if there is one: it may stand for anything."""
        return [text for text in self._texts if is_placeholder(text)][:1]

    @cached_property
    def _lookup(self) -> Lookup:
        return _lookup(self._field, [text for text in self._texts if not is_placeholder(text)])


def _lookup(field: str, values: list[str]) -> Lookup:
    match field:
        case "principals":
            return _principals(values)
        case "serviceAccounts":
            return _service_accounts(values)
        case "namespaces":
            texts = _texts((value, *_ends(value)) for value in values)
            return lambda request, _: () if request.peer.mtls is False else texts.of(request.peer.namespace)
        case "requestPrincipals":
            return _request_principals(values)
        case "ipBlocks" | "remoteIpBlocks":
            found = [value for value in values if value in EVERY_ADDRESS] or values
            return lambda _, __: found[:1]
        case "ports":
            ports = _texts((value, value, None) for value in values)
            return lambda request, _: ports.of(None if request.port is None else str(request.port))
        case "hosts":
            hosts = _texts((value, *_ends(value.lower())) for value in values)
            return lambda request, _: hosts.of(None if request.host is None else request.host.lower())
        case "methods":
            methods = _texts((value, *_ends(value)) for value in values)
            return lambda request, _: methods.of(request.method)
        case "paths":
            paths = _texts((value, *_path_ends(value)) for value in values)
            return lambda request, _: paths.of(request.path)
    return _conditions(field, values)


def _principals(values: list[str]) -> Lookup:
    """Literals by namespace and account; patterns with all five parts by what follows the trust domain,
    because the aliases of one are as good as it is; other patterns by the whole name.
    """
    identities = _Pairs()
    behind_domain, whole = _Texts(), _Texts()
    anybody = [value for value in values if value == "*"]
    for value in values:
        parts = value.split("/")
        if "*" not in (value[:1], value[-1:]):
            if len(parts) == 5:
                identities.add(parts[2], parts[4], value)
        elif len(parts) == 5 and parts[0] != "*":
            behind_domain.add(value, *_ends(value.partition("/")[2]))
        else:
            whole.add(value, *_ends(value))

    def lookup(request: Request, _: str) -> Iterable[str]:
        peer = request.peer
        if peer.mtls is False:
            return ()
        known = None not in (peer.trust_domain, peer.namespace, peer.service_account)
        rest = f"ns/{peer.namespace}/sa/{peer.service_account}" if known else None
        name = f"{peer.trust_domain}/{rest}" if known else None
        literal = identities.of(peer.namespace, peer.service_account)
        return (*anybody, *literal, *behind_domain.of(rest), *whole.of(name))

    return lookup


def _service_accounts(values: list[str]) -> Lookup:
    """By namespace and account, or by the account alone in the namespace of the policy."""
    identities, local = _Pairs(), _Pairs()
    for value in values:
        namespace, slash, account = value.rpartition("/")
        (identities if slash else local).add(namespace, account, value)

    def lookup(request: Request, own: str) -> Iterable[str]:
        peer = request.peer
        if peer.mtls is False:
            return ()
        found = identities.of(peer.namespace, peer.service_account)
        return (*found, *local.of("", peer.service_account)) if peer.namespace in (None, own) else found

    return lookup


def _request_principals(values: list[str]) -> Lookup:
    """Values with a literal issuer by it and a literal subject; any subject is '*'."""
    identities = _Pairs()
    others: list[str] = []
    for value in values:
        issuer, subject = request_principal_parts(value)
        if never_a_request_principal(value):
            continue
        if issuer.startswith("=") and (subject.startswith("=") or subject == "*"):
            identities.add(issuer[1:], subject, value)
        else:
            others.append(value)

    def lookup(request: Request, _: str) -> Iterable[str]:
        token = request.token
        if token is None:
            return ()
        subject = None if token.subject is None else f"={token.subject}"
        return (*identities.of(token.issuer, subject), *identities.of(token.issuer, "*"), *others)

    return lookup


def _conditions(field: str, values: list[str]) -> Lookup:
    """Headers and tokens are compared value by value where they are known; all else is always open."""

    def lookup(request: Request, _: str) -> Iterable[str]:
        if field.startswith("request.headers["):
            return values[:1] if request.headers is None else values
        if field.startswith("request.auth."):
            return values if request.token is not None else ()
        return values if field == "trustDomains" else values[:1]

    return lookup


class _Pairs:
    """Values by the two names that they ask for, either of which a request may leave open."""

    def __init__(self) -> None:
        self._found: dict[tuple[str | None, str | None], list[str]] = {}

    def add(self, first: str, second: str, value: str) -> None:
        self._found.setdefault((first, second), []).append(value)
        for key in ((first, None), (None, second), (None, None)):
            self._found.setdefault(key, [value])

    def of(self, first: str | None, second: str | None) -> list[str]:
        return self._found.get((first, second), [])


class _Texts:
    """Values by the text that they ask for, or by how it begins or ends."""

    def __init__(self) -> None:
        self._whole: dict[str, list[str]] = {}
        self._heads: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        self._head_lengths: set[int] = set()
        self._tail_lengths: set[int] = set()
        self._one: list[str] = []

    def add(self, value: str, head: str, tail: str | None) -> None:
        """`head` is the whole text where `tail` is None. A value is found by its head, if it has one."""
        self._one = self._one or [value]
        if tail is None:
            self._whole.setdefault(head, []).append(value)
        elif head or not tail:
            self._heads.setdefault(head, []).append(value)
            self._head_lengths.add(len(head))
        else:
            self._tails.setdefault(tail, []).append(value)
            self._tail_lengths.add(len(tail))

    def of(self, text: str | None) -> list[str]:
        """Values that could match a text; of a text that is not known they all say the same."""
        if text is None:
            return self._one
        found = list(self._whole.get(text, ()))
        for length in self._head_lengths:
            found += self._heads.get(text[:length], ()) if length <= len(text) else ()
        for length in self._tail_lengths:
            found += self._tails.get(text[-length:], ()) if length <= len(text) else ()
        return found


def _texts(entries: Iterable[tuple[str, str, str | None]]) -> _Texts:
    texts = _Texts()
    for entry in entries:
        texts.add(*entry)
    return texts


def _ends(pattern: str) -> tuple[str, str | None]:
    """How a text that a pattern matches begins and ends; None where the pattern is the whole text."""
    if "*" not in pattern:
        return pattern, None
    return pattern[: pattern.index("*")], pattern[pattern.rindex("*") + 1 :]


def _path_ends(pattern: str) -> tuple[str, str | None]:
    """A template is what stands before its first operator."""
    return (pattern[: pattern.index("{")], "") if "{" in pattern else _ends(pattern)
