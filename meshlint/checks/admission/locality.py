"""Which settings for localities does Istio's validation refuse? (spec schemas 3.3 DestinationRule 34 to 50)

`localityLbSetting` and `zoneAwareLbSetting` of a load balancer; a locality is region/zone/subzone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshlint.checks.admission.blocks import Block, refused
from meshlint.findings import Draft
from meshlint.source.nodes import Mapping, Node, Scalar, int_of
from meshlint.source.templates import is_placeholder

SETTINGS: Final = ("localityLbSetting", "zoneAwareLbSetting")
_TOPOLOGY: Final = frozenset(
    {"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"}
)
_WRITE: Final = "write region, region/zone or region/zone/subzone; only the last part may be *"


def distribute(setting: Block) -> Iterator[Draft]:
    """Rows 35 and 37 to 41."""
    if setting.has("distribute") and setting.has("failover"):
        yield refused(
            setting.place("failover", "key"),
            "sets both distribute and failover for localities",
            "beside distribute",
            "keep one: distribute shares load by weight, failover moves it when a region is unhealthy",
        )
    sources: list[tuple[str, Node]] = []
    for entry in setting.blocks("distribute"):
        yield from _weights(entry)
        yield from _localities(entry, _targets(entry), either_order=True)
        source = entry.text("from")
        if source is not None:
            sources.append((source, entry.node.index["from"][1]))
    yield from _localities(setting, sources, either_order=False)


def _targets(entry: Block) -> list[tuple[str, Node]]:
    to = entry.node.get("to")
    pairs = to.items if isinstance(to, Mapping) else ()
    return [(k.text, k) for k, _ in pairs if isinstance(k, Scalar) and not is_placeholder(k.text)]


def _weights(entry: Block) -> Iterator[Draft]:
    to = entry.node.get("to")
    weights = [(key, value, int_of(value)) for key, value in to.items] if isinstance(to, Mapping) else []
    wrong = [(key, value, weight) for key, value, weight in weights if weight is not None and _bad(weight)]
    for key, value, weight in wrong:
        name = key.text if isinstance(key, Scalar) else "?"
        yield refused(
            entry.resource.place(value),
            f"gives the locality {name} a weight of {weight}",
            "not within 1 to 100",
            "give each listed locality at least 1; leave out those that get nothing",
        )
    known = [weight for _, _, weight in weights if weight is not None]
    if not wrong and known and len(known) == len(weights) and sum(known) != 100:
        yield refused(
            entry.place("to", "key"),
            f"distributes {sum(known)} percent of the load{_of(entry)} over localities",
            f"the weights add up to {sum(known)}",
            "make the weights of one distribute entry add up to 100",
        )


def _bad(weight: int) -> bool:
    return weight < 1 or weight > 100


def _of(entry: Block) -> str:
    source = entry.text("from")
    return f" of {source}" if source else ""


def _localities(block: Block, written: list[tuple[str, Node]], *, either_order: bool) -> Iterator[Draft]:
    """Grammar of each, then overlap. Targets are a map, so the order of the check is not theirs."""
    earlier: list[str] = []
    for locality, node in written:
        problem = _locality_problem(locality)
        if problem:
            yield refused(
                block.resource.place(node),
                f"distributes load by the locality {locality!r}, which {problem}",
                problem,
                _WRITE,
            )
            continue
        other = next((e for e in earlier if _overlap(e, locality, either_order=either_order)), None)
        if other is not None:
            yield refused(
                block.resource.place(node),
                f"distributes load by the localities {other} and {locality}, which overlap",
                f"overlaps {other}",
                "list each locality once",
            )
        earlier.append(locality)


def _locality_problem(locality: str) -> str:
    if "*" in locality and (locality.count("*") > 1 or not locality.endswith("*")):
        return "has a * that is not its end"
    return "has an empty part" if not all(locality.split("/", 2)) else ""


def _overlap(earlier: str, later: str, *, either_order: bool) -> bool:
    if _covers(earlier, later):
        return True
    return (either_order or not later.endswith("*")) and _covers(later, earlier)


def _covers(wide: str, narrow: str) -> bool:
    """Are all places of the one in the other? A locality stands for everything below it."""
    parts = wide.split("/", 2)
    if parts[-1] == "*":
        parts.pop()
    return narrow.split("/", 2)[: len(parts)] == parts


def same_region(setting: Block) -> Iterator[Draft]:
    """Rows 43 and 48."""
    for entry in setting.blocks("failover"):
        source, target = entry.text("from"), entry.text("to")
        if source is not None and source == target:
            yield refused(
                entry.place("to"),
                f"fails over from {source} to {target}",
                "the same region",
                "name another region in to",
            )


def failover(setting: Block, name: str) -> Iterator[Draft]:
    """Rows 36, 44 to 46, 49 and 50; `name` is the setting's."""
    for entry in setting.blocks("failover"):
        for end in ("from", "to"):
            region = entry.text(end) or ""
            mark = next((mark for mark in "/*" if mark in region), None)
            if mark is not None:
                yield refused(
                    entry.place(end),
                    f"fails over {end} {region!r}; failover is between regions",
                    f"a region has no {mark}",
                    "name a region alone, without zone and without *",
                )
    if name == "zoneAwareLbSetting":
        why = "the zone-aware load balancer ranks topology itself"
    elif setting.has("failover"):
        why = "failover decides about regions already"
    else:
        return
    for item, label in setting.texts("failoverPriority"):
        if label in _TOPOLOGY:
            yield refused(
                setting.resource.place(item),
                f"lists {label} in failoverPriority of {name}, but {why}",
                "not allowed here",
                "leave labels of region, zone and subzone out",
            )


def both(balancer: Block) -> Iterator[Draft]:
    """Row 34."""
    if all(balancer.block(name) is not None for name in SETTINGS):
        yield refused(
            balancer.place("zoneAwareLbSetting", "key"),
            "sets both localityLbSetting and zoneAwareLbSetting in one load balancer",
            "beside localityLbSetting",
            "keep one of them",
        )
