"""Which DestinationRule does a client use for a service, and what does it say for a port and subset?

The look-up is the client's (spec traffic 1.12, security 3.5 step 1): the client's namespace, then the
service's, then the root namespace; the first of the three with a matching host wins, and in it the
most specific host. The policy of a port or subset follows spec traffic 4.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.facts import Fact
from meshlint.mesh.hosts import HostIndex, covers, is_wild, resolve
from meshlint.mesh.merging import deciding, subset_of
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping, Node, int_of, mappings, string_map, text_of, texts
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service

#: What a port-level entry replaces as a whole; the other blocks are lost for its port.
PORT_BLOCKS = ("connectionPool", "loadBalancer", "outlierDetection", "tls")

#: A client namespace that stands for any other one than those of the input.
ELSEWHERE = "*"


@dataclass(frozen=True, slots=True, eq=False)
class DestinationRule:
    """A DestinationRule; `host` is resolved, `export_to` None means the default of the mesh.

    `selector` holds the labels of its workloadSelector (clients that it is for).
    """

    resource: Resource
    host: str
    export_to: tuple[str, ...] | None
    selector: MappingOf[str, str]

    @property
    def namespace(self) -> str:
        return self.resource.ns

    @property
    def wildcard(self) -> bool:
        return is_wild(self.host)

    @property
    def traffic_policy(self) -> Mapping | None:
        return self.resource.mapping("spec", "trafficPolicy")

    @property
    def subsets(self) -> list[Mapping]:
        return self.resource.mappings("spec", "subsets")

    def covers(self, host: str) -> bool:
        """Is every name of `host` one that this rule is for?"""
        return covers(self.host, host)


class DestinationRules:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._selected: dict[tuple[str, str, str], list[DestinationRule]] = {}
        self._usable: dict[tuple[DestinationRule, str, str], bool] = {}
        self._subset_names: dict[DestinationRule, frozenset[str]] = {}

    @cached_property
    def all(self) -> list[DestinationRule]:
        """All rules with a host, in input order."""
        suffix = self.mesh.config.domain_suffix
        rules = (_read(r, suffix) for r in self.mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"))
        return [rule for rule in rules if rule is not None]

    @cached_property
    def by_host(self) -> dict[str, list[DestinationRule]]:
        """Rules by their resolved host, wildcards as written."""
        index: dict[str, list[DestinationRule]] = defaultdict(list)
        for rule in self.all:
            index[rule.host].append(rule)
        return dict(index)

    @cached_property
    def by_resource(self) -> dict[Resource, DestinationRule]:
        return {rule.resource: rule for rule in self.all}

    def declares(self, rule: DestinationRule, subset: str) -> bool:
        """Does a rule define a subset, or may it once a template is filled in?"""
        names = self._subset_names.get(rule)
        if names is None:
            written = [text_of(one.get("name")) or "" for one in rule.subsets]
            names = self._subset_names[rule] = frozenset("*" if is_placeholder(n) else n for n in written)
        return subset in names or "*" in names

    def covering(self, host: str) -> list[DestinationRule]:
        """Rules of all namespaces whose host covers the host."""
        return self._by_any_host.covering(host)

    def for_host(
        self, client_namespace: str, service: Service, labels: MappingOf[str, str] | None = None
    ) -> list[DestinationRule]:
        """The rules that clients of a namespace use for a service: merged, where there are several.

        `labels` are those of the client's pods: rules with a workloadSelector go first where they
        match. Without labels such rules are left out.
        """
        return self.lookup(client_namespace, service.host, service.namespace, labels)

    def lookup(
        self,
        client_namespace: str,
        host: str,
        service_namespace: str,
        labels: MappingOf[str, str] | None = None,
    ) -> list[DestinationRule]:
        """As `for_host`, for a host that may not be in the input."""
        key = (client_namespace, host, service_namespace)
        found = self._selected.get(key)
        if found is None:
            found = self._selected[key] = self._candidates(*key)
        chosen = []
        if labels is not None:
            chosen = [r for r in found if r.selector and r.selector.items() <= labels.items()]
        return chosen or [r for r in found if not r.selector]

    def behind(self, rule: DestinationRule, client: str, host: str, owner: str) -> list[DestinationRule]:
        """What clients of a namespace would use for a host if the rule, and its like, were not there."""
        root = self.mesh.config.root
        own = self._private if client == root else self._local
        pools = [own.get(client), *(self._exported.get(name) for name in dict.fromkeys((owner, root)))]
        like = (rule.namespace, rule.host)
        for pool in pools:
            found = [
                other
                for other in (pool.covering(host) if pool is not None else ())
                if (other.namespace, other.host) != like and not other.selector
                if self.exported_to(other, client)
            ]
            if found:
                return [other for other in found if other.host == found[0].host]
        return []

    def used_by_somebody(self, rule: DestinationRule, host: str, service_namespace: str) -> bool:
        """Is there a client namespace, in the input or elsewhere, that takes this rule for the host?"""
        key = (rule, host, service_namespace)
        known = self._usable.get(key)
        if known is None:
            clients = dict.fromkeys((rule.namespace, *self._guests(rule), ELSEWHERE))
            known = self._usable[key] = any(
                rule in self.lookup(client, host, service_namespace, rule.selector or None)
                for client in clients
            )
        return known

    def block(
        self,
        name: str,
        client_namespace: str,
        service: Service,
        port: int,
        subset: str | None = None,
        labels: MappingOf[str, str] | None = None,
    ) -> Fact[Node | None]:
        """A block of the policy (`tls`, `outlierDetection`, ...) for a service port; None: there is none.

        Disputed where merged rules say different things: without creation times nobody knows which
        of them is the older.
        """
        rules = self.for_host(client_namespace, service, labels)
        return self.merged_block(name, rules, port, subset)

    def merged_block(
        self, name: str, rules: Iterable[DestinationRule], port: int, subset: str | None = None
    ) -> Fact[Node | None]:
        listed = oldest_first(rules)
        candidates = [
            (rule, block)
            for top, definition in deciding(listed, subset, _ordered(listed))
            for rule, block in _merged(top, definition, name, port, subset)
        ]
        if not candidates:
            return Fact.of(None, reason="no DestinationRule sets it")
        places = tuple(dict.fromkeys(_place(rule, node) for rule, node in candidates))
        written = [node.plain() if node is not None else None for _, node in candidates]
        if any(value != written[0] for value in written):
            return Fact.disputed("DestinationRules of the same host disagree", *places)
        return Fact.of(candidates[0][1], *places[:1], reason=candidates[0][0].resource.title)

    def _candidates(self, client: str, host: str, owner: str) -> list[DestinationRule]:
        root = self.mesh.config.root
        own = self._private if client == root else self._local
        if found := own[client].best(host) if client in own else []:
            return found
        for namespace in dict.fromkeys((owner, root)):
            pool = self._exported.get(namespace)
            if pool is not None:
                found = [r for r in pool.best(host) if self.exported_to(r, client)]
                if found:
                    return found
        return []

    @cached_property
    def _by_any_host(self) -> HostIndex[DestinationRule]:
        index: HostIndex[DestinationRule] = HostIndex()
        for rule in self.all:
            index.add(rule.host, rule)
        return index

    @cached_property
    def _local(self) -> dict[str, HostIndex[DestinationRule]]:
        """Per namespace, the rules that its own clients may use."""
        return _indexed(rule for rule in self.all if self.exported_to(rule, rule.namespace))

    @cached_property
    def _private(self) -> dict[str, HostIndex[DestinationRule]]:
        """Per namespace, the rules that nobody else may use."""
        return _indexed(rule for rule in self.all if rule.selector or self._is_private(rule))

    @cached_property
    def _exported(self) -> dict[str, HostIndex[DestinationRule]]:
        return _indexed(rule for rule in self.all if not rule.selector and not self._is_private(rule))

    @cached_property
    def _default_export(self) -> tuple[str, ...]:
        setting = self.mesh.config.setting("defaultDestinationRuleExportTo").or_else(None)
        return tuple(str(item) for item in setting) if isinstance(setting, list) and setting else ("*",)

    def _export(self, rule: DestinationRule) -> tuple[str, ...]:
        return self._default_export if rule.export_to is None else rule.export_to

    def _is_private(self, rule: DestinationRule) -> bool:
        return set(self._export(rule)) <= {".", rule.namespace}

    def exported_to(self, rule: DestinationRule, namespace: str) -> bool:
        """Does exportTo let clients of the namespace see the rule?"""
        if rule.selector:
            return namespace == rule.namespace
        export = self._export(rule)
        return "*" in export or namespace in export or ("." in export and namespace == rule.namespace)

    def _guests(self, rule: DestinationRule) -> list[str]:
        """Other namespaces that the rule names in exportTo."""
        return [name for name in self._export(rule) if name not in ("*", ".", rule.namespace)]


def block_of(rule: DestinationRule, name: str, port: int, subset: str | None = None) -> Node | None:
    """A block of one rule for a service port and subset (spec traffic 4.1)."""
    return next((block for _, block in _merged(rule, rule, name, port, subset)), None)


def _merged(
    top: DestinationRule | None, definition: DestinationRule | None, name: str, port: int, subset: str | None
) -> Iterator[tuple[DestinationRule, Node | None]]:
    """The block of the trafficPolicy of one rule and the subset of another, with the rule that says it."""
    policy = _policy_of_subset(definition, subset)
    if definition is not None and policy is not None:
        entry = port_entry(policy, port)
        own = entry.get(name) if entry is not None and name in PORT_BLOCKS else policy.get(name)
        if own is not None or (entry is not None and name in PORT_BLOCKS):
            yield definition, own
            return
    if top is not None:
        yield top, _block(top.traffic_policy, name, port)
    elif policy is not None and definition is not None:
        yield definition, None


def port_entry(policy: Mapping | None, port: int) -> Mapping | None:
    """The portLevelSettings entry of a policy for a service port."""
    if policy is None:
        return None
    entries = mappings(policy.get("portLevelSettings"))
    return next((entry for entry in entries if int_of(entry.dig("port", "number")) == port), None)


def policies(rule: DestinationRule) -> Iterator[tuple[str | None, Mapping]]:
    """Every trafficPolicy that a rule holds with the subset it is for; None is the top-level one."""
    if rule.traffic_policy is not None:
        yield None, rule.traffic_policy
    for subset in rule.subsets:
        policy = subset.get("trafficPolicy")
        if isinstance(policy, Mapping):
            yield text_of(subset.get("name")) or "", policy


def oldest_first(rules: Iterable[DestinationRule]) -> list[DestinationRule]:
    """Rules in the order in which Istio merges them, where all creation times are written."""
    listed = list(rules)
    if not _ordered(listed):
        return listed
    return sorted(listed, key=lambda rule: (_created(rule), rule.resource.name))


def _ordered(rules: list[DestinationRule]) -> bool:
    """Is it known which rule is the oldest? Never for versions of one object."""
    if len(rules) < 2:
        return True
    return len({r.resource.key for r in rules}) == len(rules) and all(_created(r) for r in rules)


def _created(rule: DestinationRule) -> str:
    return rule.resource.text("metadata", "creationTimestamp") or ""


def _block(policy: Mapping | None, name: str, port: int) -> Node | None:
    if policy is None:
        return None
    entry = port_entry(policy, port)
    if entry is not None:
        return entry.get(name) if name in PORT_BLOCKS else None
    return policy.get(name)


def _policy_of_subset(rule: DestinationRule | None, name: str | None) -> Mapping | None:
    subset = subset_of(rule, name) if rule is not None and name is not None else None
    policy = subset.get("trafficPolicy") if subset is not None else None
    return policy if isinstance(policy, Mapping) else None


def _place(rule: DestinationRule, node: Node | None) -> Place:
    return rule.resource.place(node) if node is not None else rule.resource.place_at("spec", "host")


def _indexed(rules: Iterable[DestinationRule]) -> dict[str, HostIndex[DestinationRule]]:
    index: dict[str, HostIndex[DestinationRule]] = defaultdict(HostIndex)
    for rule in rules:
        index[rule.namespace].add(rule.host, rule)
    return dict(index)


def _read(resource: Resource, suffix: str) -> DestinationRule | None:
    host = resource.text("spec", "host")
    if not host:
        return None
    written = [item.text for item in texts(resource.get("spec", "exportTo"))]
    selector = string_map(resource.get("spec", "workloadSelector", "matchLabels"))
    return DestinationRule(resource, resolve(host, resource.ns, suffix), tuple(written) or None, selector)
