"""Which APIRules does Kyma refuse? (spec schemas 4.2, ecosystem f.4)

Versions v2 and v2alpha1 are one API. Four conditions are rules of the definition, so the API server
refuses the object; the others are checked by the controller, which leaves the APIRule in the state
Error and exposes nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, once, spec
from meshlint.checks.admission.gateway_api import denied
from meshlint.findings import Draft
from meshlint.mesh.gateways import Gateway
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import KYMA_GATEWAY
from meshlint.resources import Place, Resource
from meshlint.source.nodes import Scalar

Options = Mapping[str, Any]

_VERSIONS: Final = frozenset({"v2", "v2alpha1"})
_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_GATEWAY: Final = re.compile(rf"{_LABEL}/{_LABEL}\Z")
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z")
_ACCESS: Final = ("noAuth", "jwt", "extAuth")


@once
def resources(mesh: Mesh) -> list[Resource]:
    """The APIRules whose version Kyma reconciles."""
    return [r for r in mesh.scope.of(KYMA_GATEWAY, "APIRule") if r.version in _VERSIONS]


@once
def specs(mesh: Mesh) -> list[Block]:
    return [block for block in map(spec, resources(mesh)) if block]


@once
def rules(mesh: Mesh) -> list[Block]:
    return [rule for block in specs(mesh) for rule in block.blocks("rules")]


def failed(place: Place, says: str, label: str, advice: str) -> Draft:
    """Kyma's controller refuses what the API server has taken; `says` goes on after the title."""
    message = f"{place.resource.title} {says}; Kyma sets it to the state Error"
    return Draft(place, message, label=label, help=advice)


def version(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for resource in mesh.scope.of(KYMA_GATEWAY, "APIRule"):
        if resource.version == "v1beta1":
            yield Draft(
                resource.place_at("apiVersion"),
                f"{resource.title} is of the version v1beta1, which Kyma does not reconcile any more",
                label="stored, and then nothing happens",
                help="write it anew as gateway.kyma-project.io/v2; handlers, hosts and paths differ",
            )


def access(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Each rule says in exactly one way who may call."""
    for rule in rules(mesh):
        node = rule.node.get("noAuth")
        if node is not None and not (isinstance(node, Scalar) and isinstance(node.value, bool)):
            continue
        chosen = [name for name in _ACCESS if (rule.true(name) if name == "noAuth" else rule.has(name))]
        unknown = any(name in rule.node.index and not rule.has(name) for name in _ACCESS[1:])
        if len(chosen) > 1:
            last = max(chosen, key=lambda name: rule.place(name, "key").node.start)
            yield denied(
                rule.place(last, "key"),
                f"has a rule with {' and '.join(chosen)}",
                "one way only",
                "keep one of noAuth: true, jwt and extAuth",
            )
        elif not chosen and not unknown:
            yield denied(
                rule.place("noAuth") if node is not None else rule.place("path", "key"),
                "has a rule that does not say who may call",
                "none of noAuth: true, jwt, extAuth",
                "add jwt or extAuth, or noAuth: true where everybody may call",
            )


def gateway(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        both = [name for name in ("gateway", "externalGateway") if block.has(name)]
        if len(both) == 2:
            yield failed(
                block.place("externalGateway", "key"),
                "has both a gateway and an externalGateway",
                "gateway is there as well",
                "keep one of them",
            )
        elif not both and block.lacks("gateway") and block.lacks("externalGateway"):
            yield failed(
                block.place(),
                "names no gateway",
                "neither gateway nor externalGateway",
                "add gateway: kyma-system/kyma-gateway, or your own as namespace/name",
            )
        for name in both:
            text = block.text(name)
            if text and not _GATEWAY.match(text):
                yield denied(
                    block.place(name),
                    f"names the {name} {text!r}, which is not of the form namespace/name",
                    "expected namespace/name",
                    f"write {_as_name(text) or 'kyma-system/kyma-gateway'}",
                )


def _as_name(text: str) -> str:
    """The legacy form ``kyma-gateway.kyma-system.svc.cluster.local`` in the one of today."""
    name, _, rest = text.partition(".")
    named = f"{rest.partition('.')[0]}/{name}"
    return named if _GATEWAY.match(named) else ""


def hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        for item, text in block.texts("hosts"):
            if not _HOST.match(text):
                yield denied(
                    block.resource.place(item),
                    f"has the host {text!r}, which is no host name in lower case",
                    "no host name",
                    "write a domain name, *. and a domain, or the first label alone",
                )
            elif "." not in text and block.has("externalGateway"):
                yield failed(
                    block.resource.place(item),
                    f"has the short host {text!r} with an externalGateway",
                    "a short host needs a gateway to be completed",
                    "write the whole host name",
                )


def services(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        if "service" in block.node.index:
            continue
        for rule in block.blocks("rules"):
            if "service" not in rule.node.index:
                yield failed(
                    rule.place("path", "key"),
                    f"has no service for the path {rule.text('path') or ''}".rstrip(),
                    "no service here, and none in spec",
                    "add service with name and port, to the rule or to spec",
                )


def empty(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """The definition of v2 asks for a spec; with v2alpha1 it is the controller that does."""
    for resource in resources(mesh):
        if "spec" not in resource.root.index:
            refuse = failed if resource.version == "v2alpha1" else denied
            yield refuse(
                resource.place(),
                "has no spec",
                "nothing to expose",
                "add spec with hosts, gateway, service and rules",
            )


def short_hosts(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """A short host is completed by the domain of its gateway, which has to be one domain."""
    for block in specs(mesh):
        text = block.text("gateway") or ""
        namespace, _, name = text.partition("/")
        found = mesh.gateways.find(namespace, name, "istio")
        if not found or any(map(_one_domain, found)):
            continue
        for item, host in block.texts("hosts"):
            if "." not in host and _HOST.match(host):
                draft = failed(
                    block.resource.place(item),
                    f"has the short host {host!r}, but the servers of the Gateway {text} do not all have one"
                    " and the same domain with a leading *.",
                    "cannot be completed",
                    "write the whole host name",
                )
                yield replace(draft, related=(("the gateway", found[0].resource.place()),))


def _one_domain(gateway: Gateway) -> bool:
    """Do all servers have the same single host, and that with a wildcard?"""
    domains = {host for server in gateway.servers for _, host in server.hosts}
    return len(domains) == 1 and domains.pop().startswith("*.")
