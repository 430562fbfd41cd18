"""The blocks of traffic policies, wherever DestinationRules write them, and the services that they are for.

Semantics: spec traffic 4.1. The home of a block is the rule, a port, a subset, or a port of a subset.
"""

from __future__ import annotations

from functools import lru_cache

from meshlint.checks.admission.blocks import once
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, int_of, mappings, string_map, text_of


@dataclass(frozen=True, slots=True, eq=False)
class PolicyBlock:
    """One block of a policy of a rule: its home is the rule, a port, a subset, or a port of a subset."""

    rule: DestinationRule
    node: YamlMapping
    key: Scalar | None
    policy: YamlMapping
    subset: str | None
    port: int | None

    @property
    def resource(self) -> Resource:
        return self.rule.resource

    @property
    def title(self) -> str:
        return self.rule.resource.title

    @property
    def whose(self) -> str:
        """Its home in messages, with a leading space."""
        port = f" for port {self.port}" if self.port is not None else ""
        return port + (f" of subset {self.subset}" if self.subset else "")

    def place(self, name: str = "", part: str = "pair") -> Place:
        if name and self.node.get(name) is not None:
            return self.resource.place_at(name, part=part, inside=self.node)
        return self.resource.place(self.key if self.key is not None else self.node)

    def number(self, name: str, default: int) -> int | None:
        """A number of the block; None where it is templated or no number."""
        node = self.node.get(name)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return default
        return int_of(node)


@once
def blocks(mesh: Mesh) -> dict[str, list[PolicyBlock]]:
    """All blocks of all policies by name."""
    found: dict[str, list[PolicyBlock]] = {"outlierDetection": [], "connectionPool": [], "loadBalancer": []}
    for rule in mesh.destination_rules.all:
        for subset, policy in policies(rule):
            homes: list[tuple[int | None, YamlMapping]] = [(None, policy)]
            homes += [
                (int_of(e.dig("port", "number")) or 0, e) for e in mappings(policy.get("portLevelSettings"))
            ]
            for port, home in homes:
                for name, listed in found.items():
                    node = home.get(name)
                    if isinstance(node, YamlMapping):
                        listed.append(PolicyBlock(rule, node, home.key(name), home, subset, port))
    return found


def services_of(mesh: Mesh, rule: DestinationRule) -> list[Service]:
    """The services of a rule for one host; those that a wildcard covers are too many to judge."""
    if rule.wildcard:
        return []
    return [
        s
        for s in mesh.registry.by_host(rule.host)
        if mesh.destination_rules.used_by_somebody(rule, s.host, s.namespace)
    ]


def labels_of(block: PolicyBlock) -> dict[str, str]:
    """What a subset adds to the selector of the service."""
    return subset_labels(block.rule, block.subset) if block.subset is not None else {}


def subset_labels(rule: DestinationRule, name: str) -> dict[str, str]:
    """The labels of a subset of a rule."""
    return _labels_by_name(rule).get(name, {})


@lru_cache(maxsize=1)  # checks ask rule by rule
def _labels_by_name(rule: DestinationRule) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for subset in rule.subsets:
        found.setdefault(text_of(subset.get("name")) or "", string_map(subset.get("labels")))
    return found
