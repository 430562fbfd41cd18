"""What do the values of authorization rules look like? (spec schemas 3.3, security 5.4)"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.authorization_policy import (
    OPERATION_NAMES,
    SOURCE_NAMES,
    operations,
    policies,
    sources,
)
from meshlint.checks.admission.blocks import Block, refused
from meshlint.checks.admission.grammar import subnet_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.source.nodes import Scalar

Options = Mapping[str, Any]
Grammar = Callable[[str], str]

#: characters of a segment of a path beside a template
_SEGMENT: Final = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+\Z")
_DIGITS: Final = re.compile(r"[0-9]+\Z")
_LONGEST_ACCOUNT: Final = 320


def source_values(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            for source in sources(rule):
                yield from _values(source, SOURCE_NAMES, _SOURCES)


def operation_values(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            for operation in operations(rule):
                yield from _values(operation, OPERATION_NAMES, _OPERATIONS)


def path_templates(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            for operation in operations(rule):
                for name in ("paths", "notPaths"):
                    if name in operation.node.index:
                        for node, text in operation.texts(name):
                            yield from _template(operation, node, text)


def conditions(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in policies(mesh):
        for rule in policy.blocks("rules"):
            for condition in rule.blocks("when"):
                yield from _condition(condition)


def _values(block: Block, names: tuple[str, ...], grammars: Mapping[str, Grammar]) -> Iterator[Draft]:
    for name in names:
        if name in block.node.index:
            positive = name[3].lower() + name[4:] if name.startswith("not") else name
            grammar = grammars.get(positive, _empty)
            for node, text in block.texts(name):
                problem = grammar(text)
                if problem:
                    yield _value(block, node, text, name, problem)


def _value(block: Block, node: Scalar, text: str, name: str, problem: str) -> Draft:
    shown = f"the value {text} in {name}" if text else f"a value in {name}"
    return refused(
        block.resource.place(node),
        f"has {shown} that {problem}",
        problem,
        _ADVICE.get(problem, "correct the value, or remove it"),
    )


def _empty(text: str) -> str:
    return "" if text else "is empty"


def address_problem(text: str) -> str:
    """An IP address or a CIDR."""
    return subnet_problem(text) if text else "is empty"


def service_account_problem(text: str) -> str:
    """``name`` or ``namespace/name``, without wildcards."""
    if not text:
        return "is empty"
    if "*" in text:
        return "has a wildcard, which service accounts cannot have"
    if text.count("/") > 1:
        return "has more than one slash"
    if len(text) > _LONGEST_ACCOUNT:
        return f"is longer than {_LONGEST_ACCOUNT} characters"
    namespace, slash, name = text.partition("/")
    if slash and not namespace:
        return "has an empty namespace"
    return "has an empty name" if slash and not name else ""


def trust_domain_problem(text: str) -> str:
    """A trust domain in `source`."""
    if "/" in text and not _wildcards(text):
        return "has a slash, which trust domains cannot have"
    return _wildcards(text)


def _wildcards(text: str) -> str:
    if not text:
        return "is empty"
    if text.count("*") > 1:
        return "has more than one wildcard"
    if "*" in text and text[0] != "*" and text[-1] != "*":
        return "has a wildcard that is at neither end"
    return ""


def port_problem(text: str) -> str:
    """A port as a text; 0 is allowed here."""
    if not text:
        return "is empty"
    return "" if _DIGITS.match(text) and int(text) <= 65535 else "is no port from 0 to 65535"


_SOURCES: Final[Mapping[str, Grammar]] = {
    "ipBlocks": address_problem,
    "remoteIpBlocks": address_problem,
    "serviceAccounts": service_account_problem,
    "trustDomains": trust_domain_problem,
}
_OPERATIONS: Final[Mapping[str, Grammar]] = {"ports": port_problem}
_ADVICE: Final = {
    "has a wildcard, which service accounts cannot have": "list the accounts, or use principals or "
    "namespaces, which take wildcards",
    "is no port from 0 to 65535": "write the number of one port of the workload; ranges and names are not "
    "known here",
    "has a slash, which trust domains cannot have": "name the trust domain alone; principals take whole "
    "identities",
}


def _template(operation: Block, node: Scalar, text: str) -> Iterator[Draft]:
    problem = template_problem(text)
    if problem:
        yield refused(
            operation.resource.place(node),
            f"has the path {text}, which {problem}",
            "no path template",
            "in templates, {*} and {**} stand for whole segments and only plain segments follow {**}; "
            "without them, use * at one end",
        )


def template_problem(path: str) -> str:
    """Why a path with braces or templates is refused; '' if it is not."""
    templated = "{*}" in path or "{**}" in path
    rest = False
    for segment in path.strip("/").split("/"):
        if segment in ("{*}", "{**}"):
            if rest:
                return "goes on with a template after {**}"
            rest = segment == "{**}"
        elif "{" in segment or "}" in segment:
            return "has braces that are no {*} or {**} of their own"
        elif templated and not _SEGMENT.match(segment):
            what = f"the segment {segment}" if segment else "an empty segment"
            return f"mixes a template with {what}"
    return ""


# -- conditions -----------------------------------------------------------------------------------------

_KEYS: Final[Mapping[str, Grammar]] = {
    "source.ip": address_problem,
    "remote.ip": address_problem,
    "source.namespace": _empty,
    "source.serviceAccount": service_account_problem,
    "source.principal": _empty,
    "source.trustDomain": _wildcards,
    "request.auth.principal": _empty,
    "request.auth.audiences": _empty,
    "request.auth.presenter": _empty,
    "destination.ip": address_problem,
    "destination.port": port_problem,
    "connection.sni": _empty,
}
_MAPS: Final = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")
_GONE: Final = {
    "destination.namespace": "the policy is for its own namespace; leave the condition out",
    "destination.labels": "select the workloads with spec.selector",
    "destination.name": "select the workloads with spec.selector",
    "destination.user": "select the workloads with spec.selector",
}


def _condition(condition: Block) -> Iterator[Draft]:
    key = condition.text("key")
    if key is None:
        return
    if not key:
        yield refused(
            condition.place("key"), "has a condition with an empty key", "empty", "name an attribute"
        )
        return
    if not _written(condition):
        yield refused(
            condition.place("key"),
            f"has a condition on {key} with neither values nor notValues",
            "compared with nothing",
            "list the values that the attribute may or must not have",
        )
        return
    yield from _key(condition, key)
    grammar = _KEYS.get(key, _empty)
    for name in ("values", "notValues"):
        for node, text in condition.texts(name):
            problem = grammar(text)
            if problem:
                yield _value(condition, node, text, f"{name} of {key}", problem)


def _written(condition: Block) -> bool:
    return any(name in condition.node.index and not condition.lacks(name) for name in ("values", "notValues"))


def _key(condition: Block, key: str) -> Iterator[Draft]:
    problem = key_problem(key)
    if problem:
        gone = next((advice for name, advice in _GONE.items() if key.startswith(name)), "")
        yield refused(
            condition.place("key"),
            f"has a condition on {key}, which {problem}",
            problem,
            gone or "use one of " + ", ".join((*_KEYS, "request.headers[name]", "request.auth.claims[name]")),
        )


def key_problem(key: str) -> str:
    """Why Istio does not take an attribute; '' if it does."""
    if key in _KEYS:
        return ""
    for prefix in _MAPS:
        if key.startswith(prefix):
            opening = key.find("[")
            whole = key.endswith("]") and 0 < opening < len(key) - 2
            return "" if whole else "lacks the name in brackets"
    if key in ("destination.name", "destination.user"):
        return "Istio has removed"
    if key == "destination.namespace" or key.startswith("destination.labels"):
        return "the policy's own namespace and selector have replaced"
    return "is no attribute that Istio knows"
