"""Do delegates exist, and do their matches lie within those of their roots? (spec traffic 8.5, 1.15)"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshlint.checks.traffic.virtual_service import roots
from meshlint.findings import Draft
from meshlint.mesh.delegates import compatible, exported_to, is_delegate, survives
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import mappings, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


def delegate_broken(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in roots(mesh):
        for rule in resource.mappings("spec", "http"):
            delegate = rule.get("delegate")
            name = text_of(delegate.get("name")) if isinstance(delegate, YamlMapping) else None
            if not isinstance(delegate, YamlMapping) or not name or is_placeholder(name):
                continue
            namespace = text_of(delegate.get("namespace")) or resource.ns
            draft = _broken(mesh, resource, delegate, namespace, name)
            if draft is not None:
                yield draft


def _broken(mesh: Mesh, resource: Resource, delegate: YamlMapping, namespace: str, name: str) -> Draft | None:
    found = mesh.scope.find(ISTIO_NETWORKING, "VirtualService", namespace, name)
    confidence = None
    related: tuple[tuple[str, Place], ...] = ()
    if not found:
        evidence = mesh.scope.evidence(ISTIO_NETWORKING, "VirtualService", namespace)
        if evidence is Evidence.OPEN or mesh.scope.may_exist("VirtualService", name, namespace):
            return None
        confidence = None if evidence is Evidence.CLOSED else "low"
        says, advice = "is not in the input", "correct the name, or add the namespace"
    elif not any(is_delegate(one) for one in found):
        says, advice = "has hosts of its own and is therefore no delegate", "remove hosts from the delegate"
        related = (("makes it a root", found[0].place_at("spec", "hosts", part="key")),)
    elif not any(_usable(mesh, one, resource.ns) for one in found):
        says, advice = f"is not exported to {resource.ns}", f"add {resource.ns} to its exportTo"
        related = (("exported to others", found[0].place_at("spec", "exportTo")),)
    else:
        return None
    return Draft(
        resource.place_at("name", inside=delegate),
        f"{resource.title} delegates to VirtualService {namespace}/{name}, which {says}: the rule is dropped",
        label="no usable delegate",
        help=advice,
        related=related,
        confidence=confidence,
    )


def delegate_match_conflict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    above: dict[int, list[tuple[Resource, YamlMapping]]] = defaultdict(list)
    delegates: dict[int, Resource] = {}
    for resource in roots(mesh):
        for rule in resource.mappings("spec", "http"):
            for leaf in _delegates_of(mesh, resource, rule):
                above[id(leaf)].append((resource, rule))
                delegates[id(leaf)] = leaf
    for key, leaf in delegates.items():
        for rule in leaf.mappings("spec", "http"):
            yield from _conflicts(leaf, rule, above[key])


def _delegates_of(mesh: Mesh, resource: Resource, rule: YamlMapping) -> list[Resource]:
    name = text_of(rule.dig("delegate", "name"))
    if not name:
        return []
    namespace = text_of(rule.dig("delegate", "namespace")) or resource.ns
    found = mesh.scope.find(ISTIO_NETWORKING, "VirtualService", namespace, name)
    return [one for one in found if _usable(mesh, one, resource.ns)]


def _usable(mesh: Mesh, delegate: Resource, namespace: str) -> bool:
    """Does a root in the namespace see it as a delegate?"""
    return is_delegate(delegate) and exported_to(delegate, namespace, mesh.routes.default_exports)


def _conflicts(
    leaf: Resource, rule: YamlMapping, roots: list[tuple[Resource, YamlMapping]]
) -> Iterator[Draft]:
    root, first = roots[0]
    related = (("the match of the root", root.place_at("match", part="key", inside=first)),)
    if not any(survives(outer, rule) for _, outer in roots):
        yield Draft(
            leaf.place_at("match", part="key", inside=rule),
            f"{leaf.title} has a rule whose matches all contradict those of {_titles(roots)}, which "
            "delegates to it: Istio drops the rule",
            label="does not lie within the match of the root",
            help="repeat the prefix of the root in the delegate; regular expressions cannot be combined",
            related=related,
        )
        return
    for match in mappings(rule.get("match")):
        if not any(_fits(outer, match) for _, outer in roots):
            yield Draft(
                leaf.place_at("uri", part="key", inside=match),
                f"{leaf.title} has a match that contradicts those of {_titles(roots)}, which delegates to "
                "it: Istio drops the match",
                label="does not lie within the match of the root",
                help="repeat the prefix of the root in the delegate; regular expressions cannot be combined",
                related=related,
            )


def _fits(root: YamlMapping, match: YamlMapping) -> bool:
    outer = mappings(root.get("match"))
    return not outer or any(compatible(one, match) for one in outer)


def _titles(roots: Iterable[tuple[Resource, YamlMapping]]) -> str:
    return " and ".join(dict.fromkeys(resource.title for resource, _ in roots))
