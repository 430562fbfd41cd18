"""Which EnvoyFilters does Istio's validation refuse or warn about? (spec schemas 3.3, traffic 7.6)

What a patch holds is not decoded: that takes the descriptors of Envoy's messages. Only what can be told
without them is said. Patches for waypoints are not checked, as in Istio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, once, refused, spec, warned
from meshlint.checks.admission.grammar import LONGEST_REGEX, regex_problem
from meshlint.checks.admission.selectors import label_keys
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_NETWORKING
from meshlint.resources import Place
from meshlint.source.nodes import Mapping as YamlMapping
from meshlint.source.nodes import Node, Scalar, Sequence, text_of

Options = Mapping[str, Any]

#: what a patch may match on, by what it applies to
_OBJECT_OF: Final = {
    **dict.fromkeys(("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER"), "listener"),
    **dict.fromkeys(("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"), "routeConfiguration"),
    "CLUSTER": "cluster",
}
_OBJECTS: Final = ("listener", "routeConfiguration", "cluster")
_MANAGERS: Final = ("envoy.filters.network.http_connection_manager", "envoy.http_connection_manager")
_FILTERS: Final = frozenset({"HTTP_FILTER", "NETWORK_FILTER", "LISTENER_FILTER"})
_ADDING: Final = frozenset({"ADD", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"})
_CONFIGURED: Final = ("typed_config", "typedConfig", "config_discovery", "configDiscovery")
_HTTP: Final = "envoy.filters.http."
#: names of filters before Istio 1.19 -> names now
_RENAMED: Final = {
    **{
        f"envoy.{name}": _HTTP + name
        for name in (
            "buffer", "cors", "csrf", "fault", "grpc_http1_bridge", "grpc_json_transcoder", "grpc_web",
            "gzip", "health_check", "ip_tagging", "lua", "router", "squash",
        )
    },
    "envoy.http_dynamo_filter": "envoy.filters.http.dynamo",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.ext_authz": "envoy.filters.http.ext_authz or envoy.filters.network.ext_authz",
    **{
        f"envoy.listener.{name}": f"envoy.filters.listener.{name}"
        for name in ("http_inspector", "original_dst", "original_src", "proxy_protocol", "tls_inspector")
    },
    **{
        f"envoy.{name}": f"envoy.filters.network.{name}"
        for name in (
            "client_ssl_auth", "http_connection_manager", "mongo_proxy", "ratelimit", "redis_proxy",
            "tcp_proxy",
        )
    },
}  # fmt: skip
_OLD_VERSIONS: Final = frozenset({"v2", "v2alpha"})


@once
def _patches(mesh: Mesh) -> list[Block]:
    blocks = map(spec, mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"))
    patches = (patch for block in blocks if block for patch in block.blocks("configPatches"))
    return [patch for patch in patches if not _for_waypoints(patch)]


def _for_waypoints(patch: Block) -> bool:
    match = patch.block("match")
    return match is not None and match.text("context") == "WAYPOINT"


def selector(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"):
        block = spec(resource)
        if block is not None:
            yield from label_keys(block, "workloadSelector", "labels")


def patch(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in _patches(mesh):
        if config.lacks("applyTo") or config.text("applyTo") == "INVALID":
            yield refused(
                config.place("applyTo"),
                "has a patch that does not say what it applies to",
                "applyTo is missing",
                "name the part of the proxy's configuration in applyTo, such as HTTP_FILTER",
            )
        if config.lacks("patch"):
            yield refused(
                config.place(),
                "has an entry of configPatches without a patch",
                "patch is missing",
                "add patch with an operation and a value",
            )
        inner = config.block("patch")
        if inner is not None:
            yield from _patch(inner)


def _patch(inner: Block) -> Iterator[Draft]:
    operation = inner.text("operation")
    if inner.lacks("operation") or operation == "INVALID":
        yield refused(
            inner.place("operation"),
            "has a patch without an operation",
            "operation is missing",
            "write the operation, such as MERGE or INSERT_BEFORE",
        )
    elif operation not in (None, "REMOVE") and inner.lacks("value"):
        yield refused(
            inner.place(),
            f"has a patch with operation {operation} and no value",
            "value is missing",
            "add the value, or use REMOVE",
        )


def proxy_version(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in _patches(mesh):
        match = config.block("match")
        proxy = match.block("proxy") if match else None
        pattern = proxy.text("proxyVersion") if proxy else None
        if not proxy or not pattern:
            continue
        if len(pattern.encode()) > LONGEST_REGEX:
            yield warned(
                proxy.place("proxyVersion"),
                f"has a pattern of more than {LONGEST_REGEX} characters for the proxy's version; "
                "it is ignored",
                "too long",
                "write a shorter pattern",
            )
        elif problem := regex_problem(pattern):
            yield refused(
                proxy.place("proxyVersion"),
                f"has the pattern {pattern!r} for the proxy's version, which {problem}",
                problem,
                "write a regular expression of RE2, such as ^1\\.2[0-9].*",
            )


def match(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in _patches(mesh):
        apply_to = config.text("applyTo") or ""
        block = config.block("match")
        wanted = _OBJECT_OF.get(apply_to)
        if block is None or wanted is None:
            continue
        other = next((name for name in _OBJECTS if name != wanted and block.block(name)), None)
        if other is not None and not block.block(wanted):
            yield refused(
                block.place(other, "key"),
                f"matches a patch of {apply_to} by {other}",
                f"{apply_to} is matched by {wanted}",
                f"write the match under {wanted}, or change applyTo",
            )
        elif wanted == "listener":
            yield from _filter(block, apply_to)


def _filter(match: Block, apply_to: str) -> Iterator[Draft]:
    listener = match.block("listener")
    chain = listener.block("filterChain") if listener else None
    block = chain.block("filter") if chain else None
    if not chain or not block:
        return
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        yield warned(
            chain.place("filter", "key"),
            f"matches a patch of {apply_to} by a filter, which has no effect: the patch is for every "
            f"{'listener' if apply_to == 'LISTENER' else 'filter chain'} that fits the rest",
            f"no effect on {apply_to}",
            "drop filter, or apply the patch to NETWORK_FILTER or HTTP_FILTER",
        )
    if block.lacks("name"):
        yield refused(
            block.place("name" if "name" in block.node.index else ""),
            "matches by a filter without a name",
            "name is missing",
            "name the network filter, such as envoy.filters.network.http_connection_manager",
        )
    elif block.block("subFilter"):
        yield from _sub_filter(block, apply_to)


def _sub_filter(block: Block, apply_to: str) -> Iterator[Draft]:
    sub = block.block("subFilter")
    name = block.text("name")
    if apply_to != "HTTP_FILTER":
        yield refused(
            block.place("subFilter", "key"),
            f"matches a patch of {apply_to} by a subFilter",
            "only for HTTP_FILTER",
            "apply the patch to HTTP_FILTER, or drop subFilter",
        )
    elif name is not None and name not in _MANAGERS:
        yield refused(
            block.place("name"),
            f"matches by a subFilter of {name}",
            "not the HTTP connection manager",
            f"only {_MANAGERS[0]} has HTTP filters",
        )
    elif sub and sub.lacks("name"):
        yield refused(
            sub.place("name" if "name" in sub.node.index else ""),
            "matches by a subFilter without a name",
            "name is missing",
            "name the HTTP filter, such as envoy.filters.http.router",
        )


def deprecated_name(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in _patches(mesh):
        match = config.block("match")
        listener = match.block("listener") if match else None
        chain = listener.block("filterChain") if listener else None
        outer = chain.block("filter") if chain else None
        inner = outer.block("subFilter") if outer else None
        for block, key in ((listener, "listenerFilter"), (outer, "name"), (inner, "name")):
            old = block.text(key) if block else None
            if block and old in _RENAMED:
                yield Draft(
                    block.place(key),
                    f"{block.resource.title} matches the filter {old}, a name that no filter has any "
                    "more; the patch is never applied",
                    label="matches nothing",
                    help=f"write {_RENAMED[old or '']}",
                )


def present(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(ISTIO_NETWORKING, "EnvoyFilter"):
        yield Draft(
            resource.place(),
            f"policy: {resource.title} patches what istiod generates, and that may look different after "
            "an upgrade",
            label="depends on internals",
            help="use an API of Istio where there is one; else test the patch with each release",
        )


def value(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in _patches(mesh):
        inner = config.block("patch")
        written = inner.block("value") if inner else None
        if not inner or not written:
            continue
        for node, name in _types(written.node):
            yield refused(
                Place(written.resource, node),
                f"configures a filter by {name}, a message of Envoy's API version 2, which proxies no longer "
                "know",
                "of a removed API",
                "use the message of version 3, with its own field names",
            )
        if config.text("applyTo") in _FILTERS and inner.text("operation") in _ADDING:
            yield from _unconfigured(written)


def _types(root: Node) -> Iterator[tuple[Scalar, str]]:
    """Type URLs of Envoy's API version 2, anywhere below."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Sequence):
            stack.extend(reversed(node.items))
        elif isinstance(node, YamlMapping):
            for key, below in reversed(node.items):
                if isinstance(below, Scalar):
                    name = (text_of(below) or "").rpartition("/")[2]
                    if isinstance(key, Scalar) and key.text == "@type" and _is_old(name):
                        yield below, name
                else:
                    stack.append(below)


def _is_old(name: str) -> bool:
    return name.startswith("envoy.") and not _OLD_VERSIONS.isdisjoint(name.split("."))


def _unconfigured(written: Block) -> Iterator[Draft]:
    """A filter needs a typed configuration, or the name of where to ask for it. Row 24."""
    index = written.node.index
    if any(name in index for name in _CONFIGURED) or "name" not in index:
        return
    name = written.text("name")
    if name is not None:
        yield warned(
            written.place("name"),
            f"adds the filter {name} without typed_config; proxies find filters by the type of their "
            "configuration and refuse it",
            "without typed_config",
            "add typed_config with the @type of the filter's configuration",
        )
