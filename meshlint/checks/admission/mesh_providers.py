"""Which extension providers of the mesh configuration cannot work? (spec schemas 3.3, traffic 6.5)

istiod logs what it finds here and goes on, so each of them is missed where it is used: spans and logs go
nowhere, and a CUSTOM policy denies every request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.grammar import (
    domain_problem,
    ip_problem,
    label_problem,
    port_problem,
    wildcard_domain_problem,
)
from meshlint.checks.admission.mesh_sources import title_of, written
from meshlint.checks.admission.urls import url_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place
from meshlint.source.nodes import Scalar

Options = Mapping[str, Any]

_NETWORK: Final = (
    "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "opencensus", "skywalking",
    "opentelemetry", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls",
)  # fmt: skip
_KINDS: Final = frozenset({*_NETWORK, "prometheus", "stackdriver", "envoyFileAccessLog", "sds"})
#: status codes of HTTP that Envoy has a name for, and 0
_STATUS: Final = frozenset(
    {
        0, 100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), *range(421, 425), 426,
        428, 429, 431, *range(500, 509), 510, 511,
    }
)  # fmt: skip


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in written(mesh):
        seen: set[str] = set()
        for provider in config.blocks("extensionProviders"):
            yield from _name(provider, seen)
            yield from _kind(provider)


def _draft(place: Place, says: str, label: str, advice: str) -> Draft:
    return Draft(
        place,
        f"{title_of(place.resource)} {says}; istiod logs that and goes on without it",
        label=label,
        help=advice,
    )


def _name(provider: Block, seen: set[str]) -> Iterator[Draft]:
    name = provider.text("name")
    if provider.lacks("name"):
        yield _draft(
            provider.place("name"),
            "has an extension provider without a name",
            "nothing can refer to it",
            "name the provider",
        )
    if name and name in seen:
        yield Draft(
            provider.place("name"),
            f"{title_of(provider.resource)} defines the extension provider {name} twice; the last one counts",
            label="replaces the one above",
            help="give each provider a name of its own",
        )
    seen.add(name or "")


def _kind(provider: Block) -> Iterator[Draft]:
    name = provider.text("name") or "without a name"
    found = [key for key in provider.node if _camel(key) in _KINDS]
    if not found:
        unknown = next((k for k in provider.node if k != "name"), "")
        yield _draft(
            provider.place(unknown or "name", "key"),
            f"has an extension provider {name} of {f'the unknown kind {unknown}' if unknown else 'no kind'}",
            "no kind of provider",
            "use one of " + ", ".join(sorted(_KINDS)),
        )
    for key in found:
        settings = provider.block(key)
        if settings is not None and _camel(key) in _NETWORK:
            yield from _network(settings, name)
            yield from _special(settings, name, _camel(key))


def _camel(key: str) -> str:
    """proto-JSON takes both spellings."""
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _network(settings: Block, name: str) -> Iterator[Draft]:
    service = settings.text("service")
    problem = "is missing" if settings.lacks("service") else service_problem(service) if service else ""
    if problem:
        yield _draft(
            settings.place("service"),
            f"has an extension provider {name} whose service {problem}",
            problem,
            "write the full host of the service, with its namespace in front if needed: "
            "auth/authorizer.auth.svc.cluster.local",
        )
    number = settings.number("port")
    problem = "is missing" if settings.lacks("port") else port_problem(number) if number is not None else ""
    if problem:
        yield _draft(
            settings.place("port"),
            f"has an extension provider {name} whose port {problem}",
            problem,
            "write the port of the service",
        )


def service_problem(text: str) -> str:
    """Why a text does not name a service, as ``host`` or ``namespace/host``; '' if it does."""
    namespace, slash, host = text.partition("/")
    if not slash:
        neither = domain_problem(text) and ip_problem(text)
        return "is neither a domain name nor an IP address" if neither else ""
    bare = namespace.removeprefix("~")
    if not namespace or not host:
        return "has an empty side of its slash"
    if bare not in ("", "*", ".") and label_problem(bare):
        return "has a namespace that is no DNS label"
    if host != "*" and ("." not in host or wildcard_domain_problem(host)):
        return "has a host that is no full domain name"
    return ""


def _special(settings: Block, name: str, kind: str) -> Iterator[Draft]:
    if kind.startswith("envoyExtAuthz"):
        status = settings.text("statusOnError")
        if status and not _is_status(status):
            yield _draft(
                settings.place("statusOnError"),
                f"has an extension provider {name} whose statusOnError is {status}",
                "no status of HTTP",
                "write the number of a status, such as 403",
            )
    if kind == "envoyExtAuthzHttp":
        prefix = settings.text("pathPrefix")
        problem = "does not begin with a slash" if prefix and prefix[0] != "/" else url_problem(prefix or "")
        if prefix and problem:
            yield _draft(
                settings.place("pathPrefix"),
                f"has an extension provider {name} whose pathPrefix {problem}",
                problem,
                "write a path such as /check",
            )
    if kind == "lightstep" and settings.lacks("accessToken"):
        yield _draft(
            settings.place("accessToken"),
            f"has an extension provider {name} without accessToken",
            "accessToken is missing",
            "write the token",
        )
    if kind == "opentelemetry" and all(isinstance(settings.node.key(k), Scalar) for k in ("grpc", "http")):
        yield _draft(
            settings.place("grpc", "key"),
            f"has an extension provider {name} with grpc and http",
            "beside http",
            "keep one of them",
        )


def _is_status(text: str) -> bool:
    return text.isdigit() and int(text) in _STATUS
