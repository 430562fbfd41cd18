"""What in the mesh configuration does istiod refuse, warn about, or only log? (spec schemas 3.3 MeshConfig)

istiod reads it from a ConfigMap; here it is read wherever somebody writes it down: in that ConfigMap, in
an IstioOperator, in Sail's Istio, in values of the chart. When a new one is refused, istiod keeps the
last good one, and a new istiod does not start. Its defaults fill what is left out. Types and words are those
of the rule mesh-config-invalid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, judged
from meshlint.checks.admission.grammar import label_problem, port_problem, wildcard_domain_problem
from meshlint.checks.admission.mesh_sources import title_of, written
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.resources import Place
from meshlint.source.durations import MILLISECOND, SECOND, go_duration
from meshlint.source.nodes import Scalar

Options = Mapping[str, Any]

_CURVES: Final = frozenset(
    {"P-224", "P-256", "P-384", "P-521", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"}
)
_LONGEST_CONNECT: Final = 3600 * SECOND


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for config in written(mesh):
        yield from _numbers(config)
        yield from _domains(config)
        yield from _curves(config)


def refusal(place: Place, says: str, label: str, advice: str) -> Draft:
    return Draft(
        place,
        f"{title_of(place.resource)}{says}; istiod refuses the mesh configuration",
        label=label,
        help=f"{advice}; istiod goes on with the last good configuration, and a new one does not start",
    )


def warning(place: Place, says: str, label: str, advice: str) -> Draft:
    return Draft(
        place,
        f"{title_of(place.resource)}{says}",
        label=label,
        help=advice,
        severity="warning",
    )


def as_mesh_config(drafts: Iterable[Draft]) -> Iterator[Draft]:
    """What checks of other kinds say, for the same block in the mesh configuration."""
    for draft in drafts:
        resource = draft.place.resource  # type: ignore[union-attr]
        says = draft.message.removeprefix(resource.title).removesuffix("; Istio refuses it")
        if draft.severity is None:
            yield refusal(draft.place, says, draft.label, draft.help)  # type: ignore[arg-type]
        else:
            yield replace(draft, message=title_of(resource) + says)


def _numbers(config: Block) -> Iterator[Draft]:
    yield from port(config, "proxyListenPort")
    length = duration(config, "connectTimeout")
    if isinstance(length, Draft):
        yield length
    elif length is not None and length > _LONGEST_CONNECT:
        yield refusal(
            config.place("connectTimeout"),
            f" sets connectTimeout to {config.text('connectTimeout')}",
            "more than an hour",
            "set it to something from 1ms to 1h",
        )
    length = duration(config, "protocolDetectionTimeout", least=-_LONGEST_CONNECT)
    if isinstance(length, Draft):
        yield length


def port(block: Block, name: str) -> Iterator[Draft]:
    number = block.number(name)
    if number is not None and (problem := port_problem(number)):
        yield refusal(block.place(name), f" sets {name} to {number}", problem, "write a port from 1 to 65535")


def duration(block: Block, name: str, least: int = MILLISECOND) -> Draft | int | None:
    """The nanoseconds of a duration, or what is wrong with it; None where it cannot be judged."""
    text = block.text(name)
    if text is None:
        return None
    length = go_duration(text)
    if length is None:
        problem = "is no duration such as 10s or 1m30s"
    elif length < least:
        problem = "is less than 1ms" if least else "is negative"
    elif length % MILLISECOND:
        problem = "is finer than a millisecond"
    else:
        return length
    return refusal(block.place(name), f" sets {name} to {text}", problem, "write a duration such as 10s")


def _domains(config: Block) -> Iterator[Draft]:
    for node, text in _trust_domains(config):
        problem = trust_domain_problem(text)
        if problem:
            yield refusal(
                config.resource.place(node),
                f" names the trust domain {text!r}",
                problem,
                "write labels of letters, digits and hyphens with dots between, such as cluster.local",
            )
    for setting in config.blocks("serviceSettings"):
        for node, text in setting.texts("hosts"):
            problem = wildcard_domain_problem(text)
            if problem:
                yield refusal(
                    config.resource.place(node),
                    f" has settings for the service {text!r}, which {problem}",
                    "no host",
                    "write a host such as cart.shop.svc.cluster.local or *.shop.svc.cluster.local",
                )


def _trust_domains(config: Block) -> Iterator[tuple[Scalar, str]]:
    node = config.node.get("trustDomain")
    own = judged(node)
    if own is not None and isinstance(node, Scalar):
        yield node, own
    yield from config.texts("trustDomainAliases")


def trust_domain_problem(text: str) -> str:
    """Why istiod does not take a trust domain; '' if it does. A dot at the end is allowed."""
    if not text:
        return "is empty"
    labels = text.removesuffix(".").split(".")
    return next((f"has a label that {why}" for part in labels if (why := label_problem(part))), "")


def _curves(config: Block) -> Iterator[Draft]:
    own = config.block("meshMTLS")
    if own is not None and own.has("ecdhCurves"):
        yield refusal(
            own.place("ecdhCurves", "key"),
            " sets ecdhCurves for the traffic inside of the mesh, where they cannot be chosen",
            "not supported here",
            "set them in tlsDefaults, which is for all other TLS",
        )
    others = config.block("tlsDefaults")
    seen: set[str] = set()
    for node, text in others.texts("ecdhCurves") if others is not None else ():
        problem = "is unknown" if text and text not in _CURVES else "is there twice" if text in seen else ""
        seen.add(text)
        if problem:
            yield warning(
                config.resource.place(node),
                f" lists the curve {text}, which {problem}",
                problem,
                "use some of " + ", ".join(sorted(_CURVES)),
            )
