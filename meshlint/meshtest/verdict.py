"""What does the mesh do with the request of a test, and is that what the test expects?

Each key of `expect` becomes a Check. What the manifests leave open is unknown; that is a failure only where
the test expects something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import NoneType
from typing import Any, TypeVar

from meshlint.mesh.access import Access
from meshlint.mesh.facts import Fact
from meshlint.mesh.kyma_gateway import FILE as BUILT_IN
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.outcomes import Outcomes
from meshlint.mesh.rewrites import DirectResponse, Rewritten, fault, redirect, rewrite
from meshlint.mesh.served import Served, Way
from meshlint.mesh.shares import Share, Split
from meshlint.meshtest.compare import (
    close,
    fault_fits,
    fields_fit,
    goes,
    response_fits,
    retry_fits,
    target_of,
    timeout_fits,
)
from meshlint.meshtest.files import NONE, UNKNOWN, Case, Complaint, Suite
from meshlint.meshtest.requests import Requests, Sent
from meshlint.meshtest.slips import Slips
from meshlint.meshtest.words import (
    spelled,
    spelled_copies,
    spelled_fault,
    spelled_redirect,
    spelled_response,
    spelled_retry,
    spelled_split,
    spelled_timeout,
)
from meshlint.records import dataclass
from meshlint.resources import Place
from meshlint.source.nodes import text_of

T = TypeVar("T")

_ACCESS = {
    Access.ALLOWED: "allowed",
    Access.DENIED: "denied",
    Access.EXTERNAL: "external",
}
_DESTINATIONS = ("destination", "destinations", "mirror")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a manifest."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Check:
    """One key of `expect`: `line` is where the test says so, `at` are the lines that decide.

    `hint` is about a name that is expected and that no manifest has.
    """

    key: str
    expected: str
    line: int
    actual: str
    at: tuple[Line, ...]
    passed: bool
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """`rule` is what takes the request, in words; `at` its line, None where it is unknown."""

    suite: Suite
    case: Case
    request: str
    rule: str
    at: Line | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Actual:
    """What happens, in words, and whether it is what is expected."""

    text: str
    at: tuple[Line, ...]
    passed: bool


class Runner:
    """Runs the tests of files that are about the same manifests."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.slips = Slips(mesh)
        self.requests = Requests(mesh, self.slips)
        self.outcomes = Outcomes(mesh)

    def run(self, suite: Suite) -> tuple[list[Result], list[Complaint]]:
        """Results of a file, and why tests of it cannot be run: they name a workload that does not exist."""
        results, wrong = [], []
        for case in suite.cases:
            problem = self.requests.problem(case)
            if problem is not None:
                wrong.append(suite.complaint(case.node.get("source") or case.node, problem))
            else:
                results.append(self._run(suite, case))
        return results, wrong

    def _run(self, suite: Suite, case: Case) -> Result:
        sent = self.requests.send(case)
        view = _View(case, sent, self.outcomes, self.slips)
        rule, at = _taken_by(sent.served)
        return Result(suite, case, _spelled_request(case), rule, at, tuple(view.checks(suite)))


def _spelled_request(case: Case) -> str:
    request = case.request
    port = f":{request['port']}" if "port" in request else ""
    scheme = f"{request['scheme']}://" if "scheme" in request else ""
    url = f"{request.get('method', 'GET')} {scheme}{request['host']}{port}{request.get('path', '/')}"
    headers = "".join(f", {name}: {value}" for name, value in request.get("headers", {}).items())
    source = request.get("source")
    if "gateway" in request:
        return f"{url}{headers}, through the gateway {request['gateway']}"
    if isinstance(source, dict):
        source = f"a pod of {source['namespace']}"
    return f"{url}{headers}, from {source}"


def _taken_by(served: Fact[Served]) -> tuple[str, Line | None]:
    if not served.known:
        return f"unknown: {served.reason}", None
    found = served.value
    if found.route is not None:
        name = _name(found)
        return found.route.title + (f", rule {name}" if name else ""), _at(found.place)
    words = {
        Way.SERVICE: "no rule is for it",
        Way.HTTPS: "the server redirects to https",
        Way.NOWHERE: served.reason or "no server or route is for the host",
    }
    return words[found.way], _at(found.place)


def _name(served: Served) -> str:
    return (text_of(served.route.node.get("name")) or "") if served.route is not None else ""


# -- what is expected ----------------------------------------------------------------------------------


class _View:
    """The answers about one request, compared key by key."""

    def __init__(self, case: Case, sent: Sent, outcomes: Outcomes, slips: Slips) -> None:
        self.case = case
        self.caller = sent.caller
        self.served = sent.served
        self.outcomes = outcomes
        self.slips = slips
        self.domain = outcomes.mesh.registry.domain

    def checks(self, suite: Suite) -> Iterator[Check]:
        for key, (node, _) in self.case.expect.index.items():
            wanted = self.case.plain[key]
            actual: _Actual = getattr(self, f"_{_snake(key)}")(wanted)
            hint = "" if actual.passed else self._slip(key, wanted)
            line = suite.line(node)
            yield Check(key, spelled(wanted), line, actual.text, actual.at, actual.passed, hint)

    def _slip(self, key: str, wanted: Any) -> str:
        """A destination that is expected and that no manifest has."""
        if key not in _DESTINATIONS or wanted in (NONE, UNKNOWN):
            return ""
        route = self.served.value.route if self.served.known else None
        namespace = route.resource.ns if route is not None else self.caller.namespace
        return self.slips.expected(_entries(wanted), namespace)

    def _rule(self, wanted: str) -> _Actual:
        def named(served: Served) -> str:
            return _name(served) or ("a rule without a name" if served.way is Way.RULE else NONE)

        return self._plainly(wanted, named, wanted.__eq__)

    def _not_found(self, wanted: bool) -> _Actual:
        return self._plainly(
            wanted,
            lambda served: "true" if served.way is Way.NOWHERE else "false",
            lambda text: text == spelled(wanted),
        )

    def _destination(self, wanted: Any) -> _Actual:
        entry = target_of(wanted)
        return self._compared(
            wanted, self.outcomes.shares, spelled_split, lambda split: self._all_go(split, entry)
        )

    def _destinations(self, wanted: list[dict[str, Any]]) -> _Actual:
        return self._compared(
            wanted,
            self.outcomes.shares,
            spelled_split,
            lambda split: self._each_goes(split.shares, wanted, "weight"),
        )

    def _mirror(self, wanted: Any) -> _Actual:
        def fits(copies: tuple[Share, ...]) -> bool:
            return not copies if wanted == NONE else self._each_goes(copies, _entries(wanted), "percent")

        return self._compared(wanted, self.outcomes.mirror, spelled_copies, fits)

    def _timeout(self, wanted: str) -> _Actual:
        return self._compared(
            wanted, self.outcomes.timeout, spelled_timeout, lambda timeout: timeout_fits(timeout, wanted)
        )

    def _retries(self, wanted: Any) -> _Actual:
        return self._compared(
            wanted, self.outcomes.retries, spelled_retry, lambda retry: retry_fits(retry, wanted)
        )

    def _rewrite(self, wanted: Any) -> _Actual:
        def words(seen: Rewritten) -> str:
            return NONE if seen == self._unchanged() else f"path {seen.path}, host {seen.host}"

        def fits(seen: Rewritten) -> bool:
            if wanted == NONE:
                return seen == self._unchanged()
            return all(getattr(seen, key) == value for key, value in wanted.items())

        return self._compared(wanted, rewrite, words, fits)

    def _redirect(self, wanted: Any) -> _Actual:
        return self._compared(wanted, redirect, spelled_redirect, lambda found: fields_fit(found, wanted))

    def _direct_response(self, wanted: Any) -> _Actual:
        return self._compared(
            wanted,
            self.outcomes.direct_response,
            spelled_response,
            lambda found: response_fits(found, wanted),
        )

    def _fault(self, wanted: Any) -> _Actual:
        return self._compared(wanted, fault, spelled_fault, lambda found: fault_fits(found, wanted))

    def _access(self, wanted: str) -> _Actual:
        def answer(_: Served) -> Fact[Access]:
            found = self.outcomes.access(self.served, self.caller)
            if found.is_(Access.SOME):
                reason = "a policy asks for something that the test does not say"
                return Fact.missing(reason, *found.because)
            return found

        return self._compared(wanted, answer, _ACCESS.__getitem__, lambda found: _ACCESS[found] == wanted)

    # -- how answers are compared -------------------------------------------------------------------------

    def _compared(
        self,
        wanted: Any,
        answer: Callable[[Served], Fact[T]],
        spelled: Callable[[T], str],
        fits: Callable[[T], bool],
    ) -> _Actual:
        fact = answer(self.served.value) if self.served.known else None
        if fact is None or not fact.known:
            reason = (fact or self.served).reason
            places = (fact or self.served).because
            return _Actual(f"unknown: {reason}", _lines(places), wanted == UNKNOWN)
        passed = wanted != UNKNOWN and fits(fact.value)
        doubted = not fact.certain and isinstance(fact.value, (Split, NoneType))
        explained = not passed and (doubted or isinstance(fact.value, (Access, DirectResponse)))
        why = fact.reason if explained else ""
        return _Actual(spelled(fact.value) + (f" ({why})" if why else ""), _lines(fact.because), passed)

    def _plainly(self, wanted: Any, spelled: Callable[[Served], str], fits: Callable[[str], bool]) -> _Actual:
        if not self.served.known:
            return _Actual(f"unknown: {self.served.reason}", _lines(self.served.because), wanted == UNKNOWN)
        text = spelled(self.served.value)
        return _Actual(text, _lines((self.served.value.place,)), fits(text))

    def _unchanged(self) -> Rewritten:
        request = self.served.value.request
        return Rewritten(request.authority, request.path)

    def _all_go(self, split: Split, entry: dict[str, Any]) -> bool:
        fitting = [share for share in split.shares if goes(share, entry, self.domain)]
        if "weight" in entry:
            return close(sum(share.percent for share in fitting), entry["weight"])
        return bool(fitting) and not split.lost and len(fitting) == len(split.shares)

    def _each_goes(self, shares: Iterable[Share], wanted: list[dict[str, Any]], part: str) -> bool:
        """Is there an entry for each destination, and none besides? `part` is the key of its part."""
        left = list(shares)
        for entry in wanted:
            found = next((s for s in left if goes(s, entry, self.domain) and _weighs(s, entry, part)), None)
            if found is None:
                return False
            left.remove(found)
        return not left


def _weighs(share: Share, entry: dict[str, Any], part: str) -> bool:
    return part not in entry or close(share.percent, entry[part])


def _entries(wanted: Any) -> list[dict[str, Any]]:
    """Destinations in their long form, one or several."""
    return [target_of(one) for one in (wanted if isinstance(wanted, list) else [wanted])]


def _lines(places: Iterable[Place]) -> tuple[Line, ...]:
    lines = (_at(place) for place in places)
    return tuple(dict.fromkeys(line for line in lines if line is not None))[:3]


def _at(place: Place) -> Line | None:
    """The line of a place; None for what every cluster has and no file."""
    file = place.resource.file
    return None if file.path == BUILT_IN else Line(file.path, file.position(place.offsets[0])[0])


@cache
def _snake(key: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
