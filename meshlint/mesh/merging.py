"""What do several DestinationRules of one host and namespace come to? (spec traffic 1.12)

Rules merge, oldest first, where their `exportTo` lists are equal as written, or where the newer list is a
strict superset: then the newer rule stays on its own as well. Of merged rules the first trafficPolicy
counts as a whole, and the first definition of each subset. Of several that do not merge the newest is
used. Where the creation times are not written every order is possible. Upstream: `mergeDestinationRule`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from meshlint.source.nodes import Mapping, text_of

if TYPE_CHECKING:
    from meshlint.mesh.destination_rules import DestinationRule


def deciding(
    rules: list[DestinationRule], subset: str | None, ordered: bool
) -> Iterator[tuple[DestinationRule | None, DestinationRule | None]]:
    """The rule whose trafficPolicy counts and the one whose subset does; several pairs where it is open.

    `rules` are those that one client sees, oldest first where `ordered`.
    """
    for group in _possible(rules, ordered):
        number = 1 if ordered else len(group)
        tops = [rule for rule in group if rule.traffic_policy is not None][:number]
        named = [rule for rule in group if subset is not None and subset_of(rule, subset) is not None][
            :number
        ]
        yield from product((*tops,) or (None,), (*named,) or (None,))


def subset_of(rule: DestinationRule, name: str | None) -> Mapping | None:
    """The first subset of a rule that has a name."""
    return next((subset for subset in rule.subsets if text_of(subset.get("name")) == name), None)


def _possible(rules: list[DestinationRule], ordered: bool) -> list[list[DestinationRule]]:
    """The merged rules that may be the one in use."""
    if len({_exports(rule) for rule in rules}) < 2:
        return [rules]
    if not ordered:
        return [rules, *([rule] for rule in rules)]
    groups: list[list[DestinationRule]] = []
    for rule in rules:
        alone = True
        for group in groups:
            first, own = _exports(group[0]), _exports(rule)
            if own == first:
                group.append(rule)
                alone = False
            elif first and own and own > first:
                group.append(rule)
        if alone:
            groups.append([rule])
    return groups[-1:]


def _exports(rule: DestinationRule) -> frozenset[str] | None:
    return None if rule.export_to is None else frozenset(rule.export_to)
