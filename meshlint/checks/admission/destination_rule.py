"""Which DestinationRules does Istio's validation refuse or warn about? (spec schemas 3.3, traffic 4)

A traffic policy has four homes: the rule, its ports, its subsets, and their ports. Istio checks all of
them alike, but shows warnings of the first alone; here they are shown wherever they are true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshlint.checks.admission import connection_pool, locality, visibility
from meshlint.checks.admission.blocks import Block, judged, once, refused, spec, warned
from meshlint.checks.admission.grammar import (
    domain_problem,
    ip_problem,
    label_key_problem,
    label_problem,
    label_value_problem,
    port_problem,
    wildcard_domain_problem,
)
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Scalar
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

_BLOCKS: Final = (
    "outlierDetection", "connectionPool", "loadBalancer", "tls", "portLevelSettings", "tunnel",
    "proxyProtocol", "retryBudget",
)  # fmt: skip
_PORT_BLOCKS: Final = ("outlierDetection", "connectionPool", "loadBalancer", "tls")
_LARGEST_TABLE: Final = 5_000_011
_CONFIG_MAP: Final = "configmap://"


@dataclass(frozen=True, slots=True)
class _Policy:
    """A traffic policy; `whose` is its home in messages, with a leading space; `top` that of the rule."""

    block: Block
    whose: str
    top: _Policy | None = None
    port: bool = False


@once
def _policies(mesh: Mesh) -> list[_Policy]:
    found: list[_Policy] = []
    for resource in mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"):
        block = spec(resource)
        if block is None:
            continue
        top = block.block("trafficPolicy")
        policy = _Policy(top, "") if top else None
        if policy:
            found.extend(_with_ports(policy))
        for subset in block.blocks("subsets"):
            own = subset.block("trafficPolicy")
            if own:
                found.extend(_with_ports(_Policy(own, f" of subset {subset.text('name') or '?'}", policy)))
    return found


def _with_ports(policy: _Policy) -> Iterator[_Policy]:
    yield policy
    for entry in policy.block.blocks("portLevelSettings"):
        port = entry.block("port")
        number = port.number("number") if port else None
        whose = f" for port {number}" if number is not None else " for a port"
        yield _Policy(entry, whose + policy.whose, policy.top, port=True)


@once
def _by_name(mesh: Mesh) -> dict[str, list[tuple[_Policy, Block]]]:
    found: dict[str, list[tuple[_Policy, Block]]] = defaultdict(list)
    for policy in _policies(mesh):
        for name, (key, value) in policy.block.node.index.items():
            if isinstance(value, YamlMapping):
                found[name].append((policy, Block(policy.block.resource, value, key)))
    return found


def _each(mesh: Mesh, name: str) -> list[tuple[_Policy, Block]]:
    """One block of every policy."""
    return _by_name(mesh).get(name, [])


def host(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"):
        block = spec(resource)
        written = block.text("host") if block else None
        if not block or written is None:
            continue
        problem = wildcard_domain_problem(written)
        if problem:
            yield refused(
                block.place("host"),
                f"is for the host {written!r}, which {problem}",
                problem,
                "name one host as clients call it, such as cart.shop.svc.cluster.local, "
                "without scheme, port or path",
            )


def empty_policy(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in _policies(mesh):
        block = policy.block
        names = _PORT_BLOCKS if policy.port else _BLOCKS
        if not any(name in block.node.index for name in names):
            what = "has port settings" if policy.port else "has a trafficPolicy"
            yield refused(
                block.place(),
                f"{what}{policy.whose} with none of {', '.join(names[:-1])} and {names[-1]}",
                "sets nothing",
                "set one of them, or leave the block out",
            )
        pool = block.block("connectionPool")
        if pool:
            yield from connection_pool.empty(pool, policy.whose)


def port_level(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy in _policies(mesh):
        if policy.port and "port" not in policy.block.node.index:
            yield refused(
                policy.block.place(),
                "has an entry of portLevelSettings without a port",
                "port is missing",
                "name the port of the Service in port.number",
            )


def tunnel(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, block in _each(mesh, "tunnel"):
        if policy.port:
            continue
        if policy.block.block("proxyProtocol"):
            yield refused(
                policy.block.place("proxyProtocol", "key"),
                f"sets both tunnel and proxyProtocol{policy.whose}",
                "beside tunnel",
                "keep one of them",
            )
        else:
            yield from _tunnel(block, policy.whose)


def _tunnel(block: Block, whose: str) -> Iterator[Draft]:
    protocol = block.text("protocol")
    if protocol and protocol not in ("CONNECT", "POST"):
        yield refused(
            block.place("protocol"),
            f"tunnels{whose} by {protocol!r}",
            "neither CONNECT nor POST",
            "write CONNECT (the default) or POST",
        )
    target = block.text("targetHost")
    if target is not None and domain_problem(target) and ip_problem(target):
        yield refused(
            block.place("targetHost"),
            f"tunnels{whose} to {target!r}, which is neither a domain name nor an IP address",
            "no host",
            "name one host or address, without scheme and port",
        )
    number = block.number("targetPort")
    if number is not None and port_problem(number):
        yield refused(
            block.place("targetPort"),
            f"tunnels{whose} to port {number}, which {port_problem(number)}",
            "no port",
            "write a port from 1 to 65535",
        )


def outlier_deprecated(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, outlier in _each(mesh, "outlierDetection"):
        if outlier.number("consecutiveErrors"):
            yield Draft(
                outlier.place("consecutiveErrors", "key"),
                f"{outlier.resource.title} sets consecutiveErrors{policy.whose}, which Istio no longer "
                "reads; the limits that hold are those of the fields that took its place",
                label="ignored",
                help="use consecutive5xxErrors, or consecutiveGatewayErrors for 502, 503 and 504 alone",
            )


def outlier_local_origin(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, outlier in _each(mesh, "outlierDetection"):
        if (outlier.number("consecutiveLocalOriginFailures") or 0) <= 0:
            continue
        split = outlier.node.get("splitExternalLocalOriginErrors")
        if split is None or (isinstance(split, Scalar) and split.value is False):
            yield refused(
                outlier.place("consecutiveLocalOriginFailures", "key"),
                f"sets consecutiveLocalOriginFailures{policy.whose} without splitExternalLocalOriginErrors",
                "counted only when errors are split",
                "set splitExternalLocalOriginErrors: true beside it, or drop it",
            )


def outlier_percent(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, outlier in _each(mesh, "outlierDetection"):
        for name in ("maxEjectionPercent", "minHealthPercent"):
            percent = outlier.number(name)
            if percent is not None and not 0 <= percent <= 100:
                yield refused(
                    outlier.place(name),
                    f"sets {name}{policy.whose} to {percent}",
                    "no percentage",
                    "write a number from 0 to 100",
                )


def pool(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, block in _each(mesh, "connectionPool"):
        yield from connection_pool.settings(block, policy.whose)


def pool_zero(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, block in _each(mesh, "connectionPool"):
        yield from connection_pool.zeros(block, policy.whose)


@once
def _hashes(mesh: Mesh) -> list[tuple[_Policy, Block]]:
    found = ((policy, balancer.block("consistentHash")) for policy, balancer in _each(mesh, "loadBalancer"))
    return [(policy, consistent) for policy, consistent in found if consistent]


def cookie(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, consistent in _hashes(mesh):
        block = consistent.block("httpCookie")
        if not block:
            continue
        names: set[str] = set()
        for holder in (block, *block.blocks("attributes")):
            written = holder.text("name")
            if written == "":
                yield refused(
                    holder.place("name"),
                    f"hashes by a cookie{policy.whose} with an empty name",
                    "empty",
                    "name the cookie and each of its attributes",
                )
            elif written is not None and holder is not block:
                if written in names:
                    yield refused(
                        holder.place("name"),
                        f"hashes by a cookie{policy.whose} with two attributes named {written}",
                        "named before",
                        "keep one of them",
                    )
                names.add(written)


def ring_size(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, consistent in _hashes(mesh):
        if not consistent.number("minimumRingSize"):
            continue
        other = next((name for name in ("ringHash", "maglev") if consistent.block(name)), None)
        if other:
            yield refused(
                consistent.place("minimumRingSize", "key"),
                f"sets consistentHash.minimumRingSize{policy.whose} beside {other}",
                f"beside {other}",
                "drop it; ringHash has a minimumRingSize of its own",
            )
        else:
            yield warned(
                consistent.place("minimumRingSize", "key"),
                f"sets consistentHash.minimumRingSize{policy.whose}, which is deprecated",
                "deprecated",
                "write it as ringHash.minimumRingSize",
            )


def maglev(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, consistent in _hashes(mesh):
        block = consistent.block("maglev")
        if not block:
            continue
        size = block.number("tableSize") if "tableSize" in block.node.index else 0
        problem = _table_problem(size) if size is not None else ""
        if problem:
            written = f"sets the size of the Maglev table{policy.whose} to {size}, which {problem}"
            yield refused(
                block.place("tableSize"),
                written
                if "tableSize" in block.node.index
                else f"has no size for the Maglev table{policy.whose}",
                problem,
                f"write a prime number below {_LARGEST_TABLE:,}; 65537 is the proxy's default",
            )


def _table_problem(size: int) -> str:
    if size == 0:
        return "is no size"
    if size >= _LARGEST_TABLE:
        return f"is not below {_LARGEST_TABLE:,}"
    return "" if size > 0 and _is_prime(size) else "is no prime number"


def _is_prime(number: int) -> bool:
    """As Istio counts: 1 is one."""
    if number <= 3:
        return True
    return number % 2 != 0 and all(number % factor for factor in range(3, int(number**0.5) + 1, 2))


def warmup(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, balancer in _each(mesh, "loadBalancer"):
        block = balancer.block("warmup")
        if block and block.real("aggression") == 0:
            yield refused(
                block.place("aggression"),
                f"warms pods up{policy.whose} with an aggression of 0",
                "not above 0",
                "write 1 for linear growth, or a larger number for a quicker start",
            )


def locality_distribute(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, balancer in _each(mesh, "loadBalancer"):
        for name in locality.SETTINGS:
            setting = balancer.block(name)
            if setting:
                yield from locality.same_region(setting)
                yield from locality.distribute(setting)


def locality_failover(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for _, balancer in _each(mesh, "loadBalancer"):
        yield from locality.both(balancer)
        for name in locality.SETTINGS:
            setting = balancer.block(name)
            if setting:
                yield from locality.failover(setting, name)


def locality_failover_inert(mesh: Mesh, options: Options) -> Iterator[Draft]:
    if not mesh.config.setting("defaultTrafficPolicy").is_(None):
        return
    for policy, balancer in _each(mesh, "loadBalancer"):
        if _ejects(policy):
            continue
        for name in locality.SETTINGS:
            setting = balancer.block(name)
            field = next((f for f in ("failover", "failoverPriority") if setting and setting.has(f)), None)
            if setting and field:
                yield Draft(
                    setting.place(field, "key"),
                    f"{setting.resource.title} sets {field} in {name}{policy.whose} without "
                    "outlierDetection: no pod ever counts as unhealthy, and nothing fails over",
                    label="without outlierDetection",
                    help="add outlierDetection to the same policy",
                )


def _ejects(policy: _Policy) -> bool:
    """Has the policy outlier detection? A subset inherits the block; the entry of a port does not."""
    if "outlierDetection" in policy.block.node.index:
        return True
    return not policy.port and policy.top is not None and "outlierDetection" in policy.top.block.node.index


_TLS_FILES: Final = ("clientCertificate", "privateKey", "caCertificates", "caCrl")
_OWN: Final = ("clientCertificate", "privateKey", "caCertificates", "credentialName")


def tls_fields(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for policy, tls in _each(mesh, "tls"):
        mode = tls.enum("mode", "DISABLE")
        yield from _config_map(tls, policy.whose)
        if mode in ("SIMPLE", "MUTUAL"):
            yield from _unverified(tls, mode, policy.whose)
            yield from _credential(tls, mode, policy.whose)
        elif mode == "ISTIO_MUTUAL":
            yield from _unused(tls, policy.whose)


def _config_map(tls: Block, whose: str) -> Iterator[Draft]:
    written = tls.text("credentialName") or ""
    if not written.startswith(_CONFIG_MAP):
        return
    namespace, _, name = written.removeprefix(_CONFIG_MAP).partition("/")
    if not namespace or not name or "/" in name:
        yield refused(
            tls.place("credentialName"),
            f"sets credentialName{whose} to {written}, which does not name both a namespace and a ConfigMap",
            "incomplete",
            "write configmap://<namespace>/<name>",
        )
    elif namespace != (_own_namespace(tls) or namespace):
        yield refused(
            tls.place("credentialName"),
            f"reads a ConfigMap of the namespace {namespace}{whose}",
            f"not in {tls.resource.ns}",
            f"put the ConfigMap into the namespace {tls.resource.ns}",
        )


def _own_namespace(block: Block) -> str | None:
    """The namespace that the manifest names; another one may be set on the way to the cluster."""
    resource = block.resource
    return resource.ns if resource.namespace_written and not is_placeholder(resource.ns) else None


def _unverified(tls: Block, mode: str, whose: str) -> Iterator[Draft]:
    if not tls.true("insecureSkipVerify"):
        return
    names = ("caCertificates", "subjectAltNames", *(("credentialName",) if mode == "SIMPLE" else ()))
    other = next((name for name in names if tls.has(name)), None)
    if other:
        yield refused(
            tls.place("insecureSkipVerify", "key"),
            f"sets insecureSkipVerify beside {other}{whose}: verification is off and asked for",
            f"beside {other}",
            "drop insecureSkipVerify",
        )


def _credential(tls: Block, mode: str, whose: str) -> Iterator[Draft]:
    if tls.has("credentialName"):
        other = next((name for name in _TLS_FILES if tls.has(name)), None)
        if other:
            yield refused(
                tls.place("credentialName", "key"),
                f"sets credentialName beside {other}{whose}",
                f"beside {other}",
                "take everything from the Secret, or everything from files",
            )
    elif mode == "MUTUAL" and tls.lacks("credentialName"):
        missing = [name for name in ("clientCertificate", "privateKey") if tls.lacks(name)]
        if missing:
            written = missing[0] in tls.node.index
            yield refused(
                tls.place(missing[0] if written else "", "key"),
                f"uses mode MUTUAL{whose} without {' and '.join(missing)}",
                f"without {' and '.join(missing)}",
                "name both files, or a Secret in credentialName; for the mesh's own certificates "
                "the mode is ISTIO_MUTUAL",
            )


def _unused(tls: Block, whose: str) -> Iterator[Draft]:
    """Not said by Istio: with ISTIO_MUTUAL the proxy does not look at them."""
    name = next((name for name in _OWN if tls.has(name)), None)
    if name:
        yield Draft(
            tls.place(name, "key"),
            f"{tls.resource.title} sets {name}{whose} in mode ISTIO_MUTUAL, where clients always use the "
            "mesh's own certificates; it is ignored",
            label="ignored with ISTIO_MUTUAL",
            help=f"drop {name}, or use mode MUTUAL",
            severity="warning",
            equivalents=(),
        )


def subsets(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"):
        block = spec(resource)
        names: set[str] = set()
        for subset in block.blocks("subsets") if block else ():
            yield from _subset_name(subset, names)
            yield from _subset_labels(subset)


def _subset_name(subset: Block, names: set[str]) -> Iterator[Draft]:
    written = subset.text("name")
    if written is None:
        return
    problem = label_problem(written)
    if problem:
        yield refused(
            subset.place("name"),
            f"has a subset named {written!r}, which {problem}",
            "no DNS label",
            "name it with letters, digits and inner hyphens, such as v1-2",
        )
    elif written in names:
        yield refused(
            subset.place("name"),
            f"has two subsets named {written}",
            "named before",
            "give each subset a name of its own",
        )
    names.add(written)


def _subset_labels(subset: Block) -> Iterator[Draft]:
    labels = subset.node.get("labels")
    for key, value in labels.items if isinstance(labels, YamlMapping) else ():
        name, text = judged(key), judged(value)
        problem = label_key_problem(name) if name is not None else ""
        if problem:
            what, at = f"the label key {name!r}", key
        else:
            problem = label_value_problem(text) if text is not None else ""
            what, at = f"the label {name}: {text!r}", value
        if problem:
            yield refused(
                subset.resource.place(at),
                f"selects the pods of subset {subset.text('name') or '?'} by {what}, which {problem}",
                "no label",
                "write a label that pods can have",
            )


def export_to(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "DestinationRule"):
        block = spec(resource)
        if block is not None and "exportTo" in block.node.index:
            yield from visibility.export_to(block)
            if block.block("workloadSelector"):
                yield from _private(block)


def _private(block: Block) -> Iterator[Draft]:
    """A rule for chosen workloads stays in its own namespace. Rows 77 and 78."""
    entries = list(block.texts("exportTo"))
    own = _own_namespace(block)
    if len(entries) > 1:
        item, says, label = entries[1][0], "to several namespaces", "one of several"
    elif entries and (entries[0][1] == "*" or entries[0][1] not in (".", own or entries[0][1])):
        item, says, label = entries[0][0], f"to {entries[0][1]!r}", "not its own namespace"
    else:
        return
    yield refused(
        block.resource.place(item),
        f"is for the workloads of a workloadSelector and is exported {says}",
        label,
        'export it to "." alone, or leave exportTo out',
    )
