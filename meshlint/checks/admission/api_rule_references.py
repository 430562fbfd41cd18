"""Do the things that an APIRule relies on exist, and may it have them? (spec schemas 4.2, ecosystem f.4)

The controller looks at Gateways, providers, VirtualServices, Services and Pods before it exposes
anything. Here only what the input has is looked at, and absence counts where it is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshlint.checks.admission.api_rule import failed, resources, rules, specs
from meshlint.checks.admission.blocks import Block
from meshlint.findings import Draft
from meshlint.mesh.dataplane import DataPlane
from meshlint.mesh.installations import KYMA_OPERATOR
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.registry import Service
from meshlint.mesh.scope import ISTIO_NETWORKING, Evidence
from meshlint.resources import Resource
from meshlint.source.nodes import text_of, texts
from meshlint.source.templates import is_placeholder

Options = Mapping[str, Any]

#: installed by Kyma, and so never in a repository
_KYMA_GATEWAY: Final = ("kyma-system", "kyma-gateway")
_EXTERNAL: Final = ("envoyExtAuthzHttp", "envoyExtAuthzGrpc")


def gateways(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for block in specs(mesh):
        text = block.text("gateway") or ""
        namespace, slash, name = text.partition("/")
        if not slash or (namespace, name) == _KYMA_GATEWAY or mesh.gateways.find(namespace, name, "istio"):
            continue
        evidence = mesh.scope.evidence(ISTIO_NETWORKING, "Gateway", namespace)
        if evidence is Evidence.OPEN or mesh.scope.may_exist("Gateway", name, namespace):
            continue
        draft = failed(
            block.place("gateway"),
            f"names the Gateway {text}, which does not exist",
            "no such Gateway of Istio",
            "name a Gateway that exists, or kyma-system/kyma-gateway",
        )
        yield draft if evidence is Evidence.CLOSED else replace(draft, confidence="low")


def authorizers(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Providers are those of Kyma's Istio resource; without it in the input nobody knows them."""
    if not mesh.scope.of(KYMA_OPERATOR, "Istio"):
        return
    providers = mesh.config.extension_providers
    if not providers.known:
        return
    for rule in rules(mesh):
        external = rule.block("extAuth") if "extAuth" in rule.node.index else None
        for item, name in external.texts("authorizers") if external else ():
            kind = providers.value.get(name)
            if kind in _EXTERNAL:
                continue
            says = "is no authorizer" if kind else "the Istio resource does not have"
            draft = failed(
                rule.resource.place(item),
                f"asks the authorizer {name!r}, which {says}",
                "unknown authorizer",
                "name an entry of spec.config.authorizers of the Istio resource",
            )
            related = tuple(("the authorizers", place) for place in providers.because[:1])
            yield replace(draft, related=related, confidence=None if providers.certain else "medium")


def occupied(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Kyma gives a host to one APIRule only, and to none if a VirtualService of others has it."""
    holders: dict[str, list[Resource]] = defaultdict(list)
    for resource in mesh.scope.of(ISTIO_NETWORKING, "VirtualService"):
        if not _generated(resource):
            for item in texts(resource.get("spec", "hosts")):
                holders[item.text].append(resource)
    for resource in resources(mesh):
        for item in texts(resource.get("spec", "hosts")):
            holders[item.text].append(resource)
    for resource in resources(mesh):
        for item in texts(resource.get("spec", "hosts")):
            if "." not in item.text or is_placeholder(item.text):
                continue
            other = next((held for held in holders[item.text] if _is_rival(held, resource)), None)
            if other is not None:
                draft = failed(
                    resource.place(item),
                    f"has the host {item.text}, which {other.title} has as well",
                    "the host is taken",
                    "give each APIRule a host of its own, or put all rules of the host into one",
                )
                yield replace(draft, related=(("the other object", other.place()),), confidence="medium")


def _is_rival(held: Resource, resource: Resource) -> bool:
    """Another object, which came first; a pair of APIRules is reported once."""
    if held.key[1:] == resource.key[1:]:
        return False
    return held.kind == "VirtualService" or (held.file.path, held.root.start) < (
        resource.file.path,
        resource.root.start,
    )


def _generated(resource: Resource) -> bool:
    owners = resource.mappings("metadata", "ownerReferences")
    return any(label.startswith("apirule.") for label in resource.labels) or any(
        text_of(owner.get("kind")) == "APIRule" for owner in owners
    )


def targets(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """The Service has a selector, and its pods have a sidecar."""
    seen: set[tuple[int, str]] = set()
    for block in [*specs(mesh), *rules(mesh)]:
        service = block.block("service") if "service" in block.node.index else None
        if service is None or service.true("external"):
            continue
        namespace = service.enum("namespace", block.resource.ns)
        host = f"{service.text('name')}.{namespace}.svc.{mesh.registry.domain}"
        found = mesh.registry.by_host(host)
        if not found or (id(block.resource), host) in seen:
            continue
        seen.add((id(block.resource), host))
        if all(not entry.selector for entry in found):
            yield _without_selector(service, found[0])
        else:
            yield from _outside(mesh, service, found)


def _without_selector(service: Block, found: Service) -> Draft:
    draft = failed(
        service.place("name"),
        f"exposes {found.resource.title}, which has no selector",
        "a Service without a selector",
        "add a selector to the Service, or set external: true here",
    )
    return replace(draft, related=(("the Service", found.resource.place()),))


def _outside(mesh: Mesh, service: Block, found: list[Service]) -> Iterator[Draft]:
    for workload in (workload for entry in found for workload in mesh.registry.workloads_of(entry)):
        plane = mesh.data_planes.of(workload)
        if plane.is_(DataPlane.NONE):
            draft = failed(
                service.place("name"),
                f"exposes {workload.title}, whose pods have no sidecar",
                "its pods are not in the mesh",
                "enable injection for the workload, or set external: true here",
            )
            places = plane.because[:1] or (workload.resource.place(),)
            related = tuple(("why there is no sidecar", place) for place in places)
            yield replace(draft, related=related, confidence=None if plane.certain else "medium")
            return
