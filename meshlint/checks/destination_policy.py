"""Checks of the family resilience about traffic policies: outlier detection, pools, load balancers.

Catalogue: spec traffic 8.4; semantics: 4.1 and 4.3 to 4.7. What Istio refuses is in `admission`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.findings import Draft
from meshlint.mesh.destination_rules import DestinationRule, policies
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.replicas import Count, most_ejectable
from meshlint.mesh.scope import Evidence
from meshlint.mesh.workloads import Workload
from meshlint.records import dataclass
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, int_of, mappings, string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_DEFAULT_ERRORS: Final = 5
_DEFAULT_EJECTED: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
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
def _blocks(mesh: Mesh) -> dict[str, list[_Block]]:
    """All blocks of all policies by name."""
    found: dict[str, list[_Block]] = {"outlierDetection": [], "connectionPool": [], "loadBalancer": []}
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
                        listed.append(_Block(rule, node, home.key(name), home, subset, port))
    return found


# -- outlier detection -----------------------------------------------------------------------------


def outlier_cannot_eject(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Outlier detection that never ejects anything, for the share of few endpoints is less than one."""
    old = _before_1_20(mesh.settings.istio_version)
    for block in _blocks(mesh)["outlierDetection"]:
        alias = _alias(mesh, block)
        if alias is not None:
            yield _on_alias(block, alias)
            continue
        share = block.number("maxEjectionPercent", 0)
        if share is None or old or not 0 <= share < 100:
            continue
        yield from _too_few(mesh, block, share or _DEFAULT_EJECTED)


def _too_few(mesh: Mesh, block: _Block, share: int) -> Iterator[Draft]:
    for service in _services(mesh, block.rule):
        counted = mesh.replicas.endpoints(service, _labels(block))
        if not counted.known or counted.value.least < 1 or most_ejectable(counted.value.least, share) != 0:
            continue
        yield _cannot(mesh, block, service, share, counted)
        return


def _cannot(mesh: Mesh, block: _Block, service: Service, share: int, counted: Fact[Count]) -> Draft:
    count = counted.value
    pods = f"{count.least} endpoint{'s' if count.least > 1 else ''}"
    grows = count.most is None or (most_ejectable(count.most, share) or 0) > 0
    written = block.node.get("maxEjectionPercent") is not None
    needed = -(-100 // count.least)
    confidence = None if mesh.settings.complete else "medium"
    return Draft(
        block.place("maxEjectionPercent"),
        f"{block.title} lets outlier detection{block.whose} eject {share} percent"
        f"{'' if written else ', the default,'} of {service.host}, which has {pods}"
        f"{' at the least' if count.most != count.least else ''}: that is less than one, so nothing is "
        "ejected",
        label=f"less than one of {count.least}",
        help=f"set maxEjectionPercent to {needed} or more"
        + ("" if count.least > 1 else ", or run more than one pod: an ejected single pod is an outage"),
        related=tuple(("this many pods", place) for place in counted.because[:2]),
        confidence="low" if (grows and count.most != count.least) or not count.written else confidence,
    )


def _alias(mesh: Mesh, block: _Block) -> Service | None:
    """The ExternalName Service that a rule is for, if all versions of the Service are one."""
    if block.rule.wildcard:
        return None
    services = mesh.registry.by_host(block.rule.host)
    if services and all(s.kind == "external-name" for s in services):
        return services[0]
    return None


def _on_alias(block: _Block, service: Service) -> Draft:
    return Draft(
        block.place(),
        f"{block.title} sets outlier detection{block.whose} for {service.host}, which is only "
        f"another name for {service.external_name or 'another host'}: proxies use the rule of that host",
        label="for an alias",
        help="write the DestinationRule for the host that the Service of type ExternalName names",
        related=(("an alias", service.resource.place_at("spec", "externalName", part="pair")),),
        confidence="medium",
    )


def outlier_eject_all(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["outlierDetection"]:
        if block.number("maxEjectionPercent", 0) != 100:
            continue
        if block.number("minHealthPercent", 0) != 0 or _never_ejects(block):
            continue
        count = _single(mesh, block)
        effect = (
            f"its single pod can be ejected, and then there is none ({count.title})"
            if count is not None
            else "all endpoints can be ejected at once, and then every request fails"
        )
        yield Draft(
            block.place("maxEjectionPercent"),
            f"{block.title} lets outlier detection{block.whose} eject 100 percent of {block.rule.host}: "
            f"{effect}",
            label="everything",
            help="leave some endpoints in, such as maxEjectionPercent: 50, or set minHealthPercent, below "
            "which ejection is disregarded",
            confidence="low" if _fails_over(block) else None,
        )


def _single(mesh: Mesh, block: _Block) -> Workload | None:
    """The workload of the only pod of a service."""
    for service in _services(mesh, block.rule):
        counted = mesh.replicas.endpoints(service, _labels(block))
        if counted.known and counted.value.most == 1 and counted.value.written:
            workloads = mesh.registry.workloads_of(service)
            return workloads[0] if workloads else None
    return None


def _fails_over(block: _Block) -> bool:
    """Is ejecting all of one locality what the policy is about?"""
    setting = block.policy.dig("loadBalancer", "localityLbSetting")
    if setting is None and block.rule.traffic_policy is not None and block.port is None:
        setting = block.rule.traffic_policy.dig("loadBalancer", "localityLbSetting")
    return isinstance(setting, YamlMapping) and any(
        setting.get(name) is not None for name in ("failover", "failoverPriority")
    )


def outlier_disabled(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["outlierDetection"]:
        if _never_ejects(block):
            yield Draft(
                block.place("consecutive5xxErrors"),
                f"{block.title} has outlier detection{block.whose} with all its thresholds off, so "
                "it never ejects anything",
                label="off, like the other thresholds",
                help="set consecutive5xxErrors or consecutiveGatewayErrors above 0, or leave the block out",
            )


def _never_ejects(block: _Block) -> bool:
    """Both kinds of errors are off, and failures of the proxy's own making are not counted apart."""
    errors = block.number("consecutive5xxErrors", _DEFAULT_ERRORS)
    if errors != 0 or block.number("consecutiveGatewayErrors", 0) != 0:
        return False
    if block.node.get("outlierDetectionHttpErrorCodes") is not None:
        return False
    split = block.node.get("splitExternalLocalOriginErrors")
    if split is None or (isinstance(split, Scalar) and split.value is False):
        return True
    return block.number("consecutiveLocalOriginFailures", _DEFAULT_ERRORS) == 0


def outlier_gateway_threshold(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["outlierDetection"]:
        gateway = block.number("consecutiveGatewayErrors", 0)
        errors = block.number("consecutive5xxErrors", _DEFAULT_ERRORS)
        if not gateway or not errors or gateway < errors:
            continue
        written = block.node.get("consecutive5xxErrors") is not None
        yield Draft(
            block.place("consecutiveGatewayErrors"),
            f"{block.title} ejects{block.whose} after {gateway} gateway errors, but each of them "
            f"counts among the 5xx errors, of which {errors}{'' if written else ', the default,'} are "
            "enough, so this threshold never acts",
            label=f"not below the {errors} of consecutive5xxErrors",
            help="set consecutiveGatewayErrors below consecutive5xxErrors, or consecutive5xxErrors: 0 to "
            "count only 502, 503 and 504",
            related=(("reached first", block.place("consecutive5xxErrors")),) if written else (),
        )


def outlier_panic_conflict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["outlierDetection"]:
        healthy = block.number("minHealthPercent", 0)
        written = block.number("maxEjectionPercent", 0)
        if not healthy or written is None:
            continue
        share = written or _DEFAULT_EJECTED
        if 0 < healthy <= 100 and share <= 100 and healthy + share > 100:
            yield Draft(
                block.place("minHealthPercent"),
                f"{block.title} lets outlier detection{block.whose} eject {share} percent, but "
                f"disregards it below {healthy} percent of healthy endpoints: after {100 - healthy} percent "
                "all endpoints get requests again",
                label=f"reached before {share} percent are ejected",
                help="let both together be at most 100",
                related=(("the share that may be ejected", block.place("maxEjectionPercent")),)
                if written
                else (),
            )


# -- connection pools ------------------------------------------------------------------------------

_POOL_LIMITS: Final = (
    ("tcp", "maxConnections", "connection"),
    ("http", "http1MaxPendingRequests", "waiting request"),
    ("http", "http2MaxRequests", "request"),
)


def pool_tiny(mesh: Mesh, options: Options) -> Iterator[Draft]:
    limit = options["limit"]
    for block in _blocks(mesh)["connectionPool"]:
        for protocol, name, what in _POOL_LIMITS:
            number = int_of(block.node.dig(protocol, name))
            if number is None or not 0 < number <= limit:
                continue
            yield Draft(
                block.resource.place_at(protocol, name, part="pair", inside=block.node),
                f"policy: {block.title} allows each client proxy {number} {what}"
                f"{'s' if number > 1 else ''} at a time to {block.rule.host}{block.whose}; what comes on top "
                "gets 503",
                label="a value for demonstrations",
                help="set it to what one client may really need at once; the limit holds for each client "
                "proxy by itself",
            )


# -- load balancers --------------------------------------------------------------------------------

_WARMED: Final = frozenset({"ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN", "UNSPECIFIED"})


def lb_warmup_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["loadBalancer"]:
        name = next((n for n in ("warmup", "warmupDurationSecs") if block.node.get(n) is not None), "")
        if not name:
            continue
        simple = text_of(block.node.get("simple"))
        if block.node.get("consistentHash") is not None:
            reason, other = "consistentHash", "consistentHash"
        elif simple and simple not in _WARMED and not is_placeholder(simple):
            reason, other = simple, "simple"
        elif name == "warmup" and block.node.get("warmupDurationSecs") is not None:
            yield _old_warmup(block)
            continue
        else:
            continue
        yield Draft(
            block.place(name, "key"),
            f"{block.title} warms new endpoints up{block.whose}, which the load balancer {reason} "
            "does not do: they get their full share at once",
            label=f"ignored with {reason}",
            help="use ROUND_ROBIN or LEAST_REQUEST, or remove the warm-up",
            related=((f"load balancing is {reason}", block.place(other, "key")),),
        )


def _old_warmup(block: _Block) -> Draft:
    return Draft(
        block.place("warmupDurationSecs", "key"),
        f"{block.title} sets both warmup and warmupDurationSecs{block.whose}; the latter is ignored",
        label="ignored beside warmup",
        help="remove warmupDurationSecs, which is deprecated",
        related=(("used", block.place("warmup", "key")),),
    )


def lb_cookie_no_ttl(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["loadBalancer"]:
        cookie = block.node.dig("consistentHash", "httpCookie")
        if isinstance(cookie, YamlMapping) and cookie.get("name") is not None and "ttl" not in cookie.index:
            yield Draft(
                block.resource.place_at("consistentHash", "httpCookie", part="key", inside=block.node),
                f"{block.title} keeps clients at one endpoint{block.whose} by the cookie "
                f"{text_of(cookie.get('name')) or ''} and gives it no ttl: the proxy then never sets the "
                "cookie, and clients that have none from the application go anywhere",
                label="no ttl",
                help="set ttl; 0s makes a cookie for the session",
            )


def lb_headless(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in _blocks(mesh)["loadBalancer"]:
        services = _services(mesh, block.rule) if not block.rule.wildcard else []
        if not services or not all(s.kind == "headless" for s in services):
            continue
        if text_of(block.node.get("simple")) == "PASSTHROUGH" or not mesh.config.feature(
            "PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES"
        ).is_(None, "false"):
            continue
        yield Draft(
            block.place(),
            f"{block.title} sets a load balancer{block.whose} for {block.rule.host}, a headless "
            "Service: clients choose a pod themselves, and their sidecars send to the address they chose",
            label="ignored by sidecars",
            help="remove it, or give the Service a cluster IP",
            related=(("headless", services[0].resource.place_at("spec", "clusterIP", part="pair")),),
        )


# -- workloads -------------------------------------------------------------------------------------


def replicas_pdb(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Disruption budgets that let no pod go, and workloads of the mesh with several pods and none."""
    for workload in mesh.workloads.all:
        counted = mesh.replicas.of(workload)
        if not counted.known or workload.resource.group == "batch":
            continue
        if mesh.data_planes.in_mesh(workload) is not True and not workload.control_plane:
            continue
        budgets = _budgets(mesh, workload)
        blocking = next((b for b in budgets if _blocks_all(b, counted.value)), None)
        if blocking is not None:
            yield _blocked(workload, blocking, counted)
        elif not budgets and counted.value.least >= 2:
            yield from _no_budget(mesh, workload, counted)


def _budgets(mesh: Mesh, workload: Workload) -> list[Resource]:
    return [
        b for b in _budgets_by_label(mesh).get(workload.namespace, {}).get("", []) if _covers(b, workload)
    ] + [
        b
        for pair in workload.labels.items()
        for b in _budgets_by_label(mesh).get(workload.namespace, {}).get("=".join(pair), [])
        if _covers(b, workload)
    ]


@once
def _budgets_by_label(mesh: Mesh) -> dict[str, dict[str, list[Resource]]]:
    """Budgets per namespace under the first label of their selector; '' for those with expressions."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for budget in mesh.scope.of("policy", "PodDisruptionBudget"):
        labels = string_map(budget.get("spec", "selector", "matchLabels"))
        first = next(("=".join(pair) for pair in labels.items()), "")
        found.setdefault(budget.ns, {}).setdefault(first, []).append(budget)
    return found


def _covers(budget: Resource, workload: Workload) -> bool:
    """Does a budget select the pods, as far as its labels tell? Expressions count as a match."""
    return string_map(budget.get("spec", "selector", "matchLabels")).items() <= workload.labels.items()


def _blocks_all(budget: Resource, count: Count) -> bool:
    """Is no pod ever allowed to go?"""
    if budget.get("spec", "selector", "matchExpressions") is not None:
        return False
    most = count.most if count.most is not None else count.least + 1
    gone, stays = budget.get("spec", "maxUnavailable"), budget.get("spec", "minAvailable")
    if gone is not None:
        return text_of(gone) in ("0", "0%")
    if text_of(stays) == "100%":
        return True
    number = int_of(stays)
    return number is not None and number >= max(most, 1)


def _blocked(workload: Workload, budget: Resource, counted: Fact[Count]) -> Draft:
    name = "maxUnavailable" if budget.get("spec", "maxUnavailable") is not None else "minAvailable"
    most = counted.value.most
    pods = f"{most} pod{'s' if most != 1 else ''}" if most is not None else "its pods"
    return Draft(
        budget.place_at("spec", name, part="pair"),
        f"{budget.title} lets none of {pods} of {workload.title} go: draining a node waits for ever",
        label="no pod may go",
        help="allow one pod to be away: maxUnavailable: 1, with two or more replicas",
        related=tuple(("this many pods", place) for place in counted.because[:1]),
        confidence=None if counted.value.written else "low",
    )


def _no_budget(mesh: Mesh, workload: Workload, counted: Fact[Count]) -> Iterator[Draft]:
    evidence = mesh.scope.evidence("policy", "PodDisruptionBudget", workload.namespace)
    if evidence is Evidence.OPEN or mesh.scope.may_exist("PodDisruptionBudget", workload.name):
        return
    yield Draft(
        workload.resource.place(),
        f"policy: {workload.title} runs {counted.value.least} or more pods and no PodDisruptionBudget keeps "
        "any of them while nodes are drained",
        label="no disruption budget",
        help="add a PodDisruptionBudget with maxUnavailable: 1",
        related=tuple(("this many pods", place) for place in counted.because[:1]),
        confidence=None if evidence is Evidence.CLOSED else "low",
    )


# -- which endpoints -------------------------------------------------------------------------------


def _services(mesh: Mesh, rule: DestinationRule) -> list[Service]:
    """The services of a rule for one host; those that a wildcard covers are too many to judge."""
    if rule.wildcard:
        return []
    return [
        s
        for s in mesh.registry.by_host(rule.host)
        if mesh.destination_rules.used_by_somebody(rule, s.host, s.namespace)
    ]


def _labels(block: _Block) -> dict[str, str]:
    """What a subset adds to the selector of the service."""
    if block.subset is None:
        return {}
    for subset in block.rule.subsets:
        if (text_of(subset.get("name")) or "") == block.subset:
            return string_map(subset.get("labels"))
    return {}


def _before_1_20(version: str) -> bool:
    parts = version.split(".")
    return len(parts) > 1 and parts[1].isdigit() and (parts[0], int(parts[1])) < ("1", 20)
