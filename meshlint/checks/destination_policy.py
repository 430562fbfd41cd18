"""Checks of the family resilience about pools, load balancers, and disruption budgets.

Catalogue: spec traffic 8.4; semantics: 4.1, 4.3, 4.5 and 4.7. What Istio refuses is in `admission`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.policy_blocks import PolicyBlock, blocks, services_of
from meshlint.findings import Draft
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.replicas import Count
from meshlint.mesh.scope import Evidence
from meshlint.mesh.workloads import Workload
from meshlint.resources import Resource
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, int_of, string_map, text_of
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]


# -- connection pools ------------------------------------------------------------------------------

_POOL_LIMITS: Final = (
    ("tcp", "maxConnections", "connection"),
    ("http", "http1MaxPendingRequests", "waiting request"),
    ("http", "http2MaxRequests", "request"),
)


def pool_tiny(mesh: Mesh, options: Options) -> Iterator[Draft]:
    limit = options["limit"]
    for block in blocks(mesh)["connectionPool"]:
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
    for block in blocks(mesh)["loadBalancer"]:
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


def _old_warmup(block: PolicyBlock) -> Draft:
    return Draft(
        block.place("warmupDurationSecs", "key"),
        f"{block.title} sets both warmup and warmupDurationSecs{block.whose}; the latter is ignored",
        label="ignored beside warmup",
        help="remove warmupDurationSecs, which is deprecated",
        related=(("used", block.place("warmup", "key")),),
    )


def lb_cookie_no_ttl(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in blocks(mesh)["loadBalancer"]:
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
    for block in blocks(mesh)["loadBalancer"]:
        services = services_of(mesh, block.rule) if not block.rule.wildcard else []
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


def lb_hash_locality(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Affinity by a hash where shares or failures of localities decide before the hash does."""
    for block in blocks(mesh)["loadBalancer"]:
        setting = block.node.get("localityLbSetting")
        if block.node.get("consistentHash") is None or not isinstance(setting, YamlMapping):
            continue
        enabled = setting.get("enabled")
        way = next((n for n in ("distribute", "failover", "failoverPriority") if setting.get(n)), "")
        if not way or (isinstance(enabled, Scalar) and enabled.value is False):
            continue
        when = (
            "a share of its requests goes to pods of another locality"
            if way == "distribute"
            else "its requests go to pods of another locality while those of the first fail, and back again"
        )
        yield Draft(
            block.place("consistentHash", "key"),
            f"{block.title} keeps clients at one endpoint{block.whose} by consistentHash and sets "
            f"localityLbSetting.{way}: the hash is taken within a locality, so that {when}",
            label="affinity ends at the locality",
            help="let one of the two go, or keep what the affinity is for where all localities see it",
            related=(("decides before the hash", block.resource.place_at(way, part="key", inside=setting)),),
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
