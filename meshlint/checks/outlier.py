"""Can outlier detection eject anything, and does it leave something? (spec traffic 4.4)

Catalogue: spec traffic 8.4. What Istio refuses is in `admission`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import once
from meshlint.checks.policy_blocks import PolicyBlock, blocks, labels_of, services_of, subset_labels
from meshlint.findings import Draft
from meshlint.mesh.destination_rules import DestinationRule
from meshlint.mesh.facts import Fact
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.replicas import Count, most_ejectable
from meshlint.mesh.workloads import Workload
from meshlint.resources import Place
from meshlint.source.durations import MILLISECOND, SECOND, istio_duration, spell
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar, text_of

Options = Mapping[str, Any]

_DEFAULT_ERRORS: Final = 5
_DEFAULT_EJECTED: Final = 10


def cannot_eject(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Outlier detection that never ejects anything, for the share of few endpoints is less than one."""
    old = _before_1_20(mesh.settings.istio_version)
    for block in blocks(mesh)["outlierDetection"]:
        alias = _alias(mesh, block)
        if alias is not None:
            yield _on_alias(block, alias)
            continue
        share = block.number("maxEjectionPercent", 0)
        if share is None or old or not 0 <= share < 100:
            continue
        yield from _too_few(mesh, block, share or _DEFAULT_EJECTED)


def _too_few(mesh: Mesh, block: PolicyBlock, share: int) -> Iterator[Draft]:
    """Endpoints are those of a service, or of the subset that a rule sends to: each has its own share."""
    for service in services_of(mesh, block.rule):
        for subset, sender in _subsets(mesh, block, service).items():
            counted = mesh.replicas.endpoints(service, subset_labels(block.rule, subset))
            if _too_small(counted, share):
                yield _cannot(mesh, block, service, share, counted, subset, sender)
                return
        counted = mesh.replicas.endpoints(service, labels_of(block))
        if _too_small(counted, share):
            yield _cannot(mesh, block, service, share, counted)
            return


def _too_small(counted: Fact[Count], share: int) -> bool:
    return counted.known and counted.value.least >= 1 and most_ejectable(counted.value.least, share) == 0


def _subsets(mesh: Mesh, block: PolicyBlock, service: Service) -> dict[str, Place]:
    """Subsets that a rule sends to and that take outlier detection from the block, and who sends."""
    if block.subset is not None:
        return {}
    own = {
        text_of(subset.get("name")) or ""
        for subset in block.rule.subsets
        if subset.dig("trafficPolicy", "outlierDetection") is not None
        or subset.dig("trafficPolicy", "portLevelSettings") is not None
    }
    rules = mesh.destination_rules.covering(service.host)
    return {
        subset: place
        for subset, place in _sent_to(mesh).get(service.host, {}).items()
        if subset not in own and [rule for rule in rules if _declares(mesh, rule, subset)] == [block.rule]
    }


def _declares(mesh: Mesh, rule: DestinationRule, subset: str) -> bool:
    return mesh.destination_rules.declares(rule, subset)


@once
def _sent_to(mesh: Mesh) -> dict[str, dict[str, Place]]:
    """The subsets of each host that rules send requests to, and where they do."""
    found: dict[str, dict[str, Place]] = {}
    for reference in mesh.destinations.all:
        if reference.subset and reference.share and not reference.mirror and reference.state.found:
            place = reference.place("subset")
            found.setdefault(reference.state.full, {}).setdefault(reference.subset, place)
    return found


def _cannot(
    mesh: Mesh,
    block: PolicyBlock,
    service: Service,
    share: int,
    counted: Fact[Count],
    subset: str = "",
    sender: Place | None = None,
) -> Draft:
    count = counted.value
    pods = f"{count.least} endpoint{'s' if count.least > 1 else ''}"
    grows = count.most is None or (most_ejectable(count.most, share) or 0) > 0
    written = block.node.get("maxEjectionPercent") is not None
    needed = -(-100 // count.least)
    confidence = None if mesh.settings.complete else "medium"
    who = f"subset {subset} of {service.host}" if subset else service.host
    return Draft(
        block.place("maxEjectionPercent"),
        f"{block.title} lets outlier detection{block.whose} eject {share} percent"
        f"{'' if written else ', the default,'} of {who}, which has {pods}"
        f"{' at the least' if count.most != count.least else ''}: that is less than one, so nothing is "
        "ejected",
        label=f"less than one of {count.least}",
        help=f"set maxEjectionPercent to {needed} or more"
        + ("" if count.least > 1 else ", or run more than one pod: an ejected single pod is an outage"),
        related=(
            *(("this many pods", place) for place in counted.because[:2]),
            *([("requests for the subset", sender)] if sender is not None else ()),
        ),
        confidence="low" if (grows and count.most != count.least) or not count.written else confidence,
    )


def _alias(mesh: Mesh, block: PolicyBlock) -> Service | None:
    """The ExternalName Service that a rule is for, if all versions of the Service are one."""
    if block.rule.wildcard:
        return None
    services = mesh.registry.by_host(block.rule.host)
    if services and all(s.kind == "external-name" for s in services):
        return services[0]
    return None


def _on_alias(block: PolicyBlock, service: Service) -> Draft:
    return Draft(
        block.place(),
        f"{block.title} sets outlier detection{block.whose} for {service.host}, which is only "
        f"another name for {service.external_name or 'another host'}: proxies use the rule of that host",
        label="for an alias",
        help="write the DestinationRule for the host that the Service of type ExternalName names",
        related=(("an alias", service.resource.place_at("spec", "externalName", part="pair")),),
        confidence="medium",
    )


def eject_all(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in blocks(mesh)["outlierDetection"]:
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


def _single(mesh: Mesh, block: PolicyBlock) -> Workload | None:
    """The workload of the only pod of a service."""
    for service in services_of(mesh, block.rule):
        counted = mesh.replicas.endpoints(service, labels_of(block))
        if counted.known and counted.value.most == 1 and counted.value.written:
            workloads = mesh.registry.workloads_of(service)
            return workloads[0] if workloads else None
    return None


def _fails_over(block: PolicyBlock) -> bool:
    """Is ejecting all of one locality what the policy is about?"""
    setting = block.policy.dig("loadBalancer", "localityLbSetting")
    if setting is None and block.rule.traffic_policy is not None and block.port is None:
        setting = block.rule.traffic_policy.dig("loadBalancer", "localityLbSetting")
    return isinstance(setting, YamlMapping) and any(
        setting.get(name) is not None for name in ("failover", "failoverPriority")
    )


def disabled(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in blocks(mesh)["outlierDetection"]:
        if _never_ejects(block):
            yield Draft(
                block.place("consecutive5xxErrors"),
                f"{block.title} has outlier detection{block.whose} with all its thresholds off, so "
                "it never ejects anything",
                label="off, like the other thresholds",
                help="set consecutive5xxErrors or consecutiveGatewayErrors above 0, or leave the block out",
            )


def _never_ejects(block: PolicyBlock) -> bool:
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


def gateway_threshold(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in blocks(mesh)["outlierDetection"]:
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


def panic_conflict(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in blocks(mesh)["outlierDetection"]:
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


# -- outlier-intervals -----------------------------------------------------------------------------

_DEFAULT_INTERVAL: Final = 10 * SECOND
_DEFAULT_EJECTION: Final = 30 * SECOND
_SHORT: Final = SECOND
_LONG: Final = 300 * SECOND


def intervals(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Times of outlier detection that are unlikely to be meant."""
    for block in blocks(mesh)["outlierDetection"]:
        interval = _length(block, "interval", _DEFAULT_INTERVAL)
        ejection = _length(block, "baseEjectionTime", _DEFAULT_EJECTION)
        if interval is not None and ejection is not None and interval > ejection:
            yield _hint(
                block,
                "interval" if block.node.get("interval") is not None else "baseEjectionTime",
                f"looks at its endpoints every {spell(interval)} and ejects for {spell(ejection)}: an "
                "endpoint comes back only when it looks again",
                "longer than the ejection"
                if block.node.get("interval") is not None
                else "under the interval",
                "set interval below baseEjectionTime",
            )
        elif interval is not None and MILLISECOND <= interval < _SHORT:
            yield _hint(
                block,
                "interval",
                f"looks at its endpoints every {spell(interval)}, in each proxy that calls them, which costs "
                "them processor time",
                "less than a second",
                "set interval to a second or more",
            )
        if ejection is not None and ejection > _LONG:
            yield _hint(
                block,
                "baseEjectionTime",
                f"ejects for {spell(ejection)}: one burst of errors takes an endpoint away that long",
                "longer than five minutes",
                "set baseEjectionTime to some minutes at most; it grows with each ejection",
            )


def _length(block: PolicyBlock, name: str, default: int) -> int | None:
    """Nanoseconds; None where a template decides or Istio refuses it."""
    node = block.node.get(name)
    return default if node is None else istio_duration(node).nanoseconds


def _hint(block: PolicyBlock, name: str, says: str, label: str, advice: str) -> Draft:
    return Draft(block.place(name), f"policy: {block.title}{block.whose} {says}", label=label, help=advice)


def _before_1_20(version: str) -> bool:
    parts = version.split(".")
    return len(parts) > 1 and parts[1].isdigit() and (parts[0], int(parts[1])) < ("1", 20)
