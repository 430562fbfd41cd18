"""Do the webhooks of istiod get called where they are, and once for a pod? (IST0139, IST0163, IST0164)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit

from meshlint.checks.admission.blocks import Block
from meshlint.checks.admission.urls import scheme_of, url_problem
from meshlint.findings import Draft
from meshlint.mesh.facts import Fact
from meshlint.mesh.labels import INJECT, NAMESPACE_INJECTION, REVISION
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.webhooks import Webhook, selects
from meshlint.resources import Place
from meshlint.source.nodes import text_of

Options = Mapping[str, Any]

_GROUP: Final = "admissionregistration.k8s.io"
#: how Istio's charts name their configurations
_NAMES: Final = {
    "ValidatingWebhookConfiguration": ("istiod-default-validator", "istio-validator"),
    "MutatingWebhookConfiguration": ("istio-sidecar-injector",),
}
_MANY: Final = 40  # webhooks whose selectors are compared; an installation has four for each revision


def address(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for kind, names in _NAMES.items():
        for resource in mesh.scope.of(_GROUP, kind):
            if resource.name.startswith(names):
                for hook in Block(resource, resource.root).blocks("webhooks"):
                    client = hook.block("clientConfig")
                    if client is not None:
                        yield from _address(client, hook.text("name") or "")


def _address(client: Block, name: str) -> Iterator[Draft]:
    title = client.resource.title
    if "url" not in client.node.index and "service" not in client.node.index:
        yield Draft(
            client.place(part="key"),
            f"{title} does not say where its webhook {name} is; the API server refuses it",
            label="neither url nor service",
            help="name the Service of istiod, or the URL of the external one",
            equivalents=("IST0163",),
        )
        return
    url = client.text("url")
    if url is None:
        return
    problem = url_problem(url) or ("" if scheme_of(url) == "https" else "does not begin with https://")
    host = "" if problem else urlsplit(url).hostname or ""
    if problem or not host:
        yield Draft(
            client.place("url"),
            f"{title} calls its webhook {name} at {url!r}, which {problem or 'names no host'}; "
            "the API server refuses it",
            label="not a usable URL",
            help="write https:// and the host name of the external control plane",
            equivalents=("IST0163",),
        )
    elif _is_address(host):
        yield Draft(
            client.place("url"),
            f"{title} calls its webhook {name} at the address {host}: it works as long as the control plane "
            "keeps it and has a certificate for it",
            label="an address, not a name",
            help="write the host name of the control plane",
            severity="info",
            equivalents=("IST0164",),
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def overlap(mesh: Mesh, options: Options) -> Iterator[Draft]:
    """Two injectors for one pod: found by trying all labels that decide about injection."""
    hooks = [hook for hook in mesh.injection.webhooks.all if not hook.conditional]
    if not 1 < len(hooks) <= _MANY:
        return
    others: dict[int, Webhook] = {}
    for called in _calls(hooks):
        for hook in called:
            other = next((one for one in called if _apart(hook, one)), None)
            if other is not None:
                others.setdefault(id(hook), other)
    for hook in hooks:
        if id(hook) in others:
            yield _twice(hook, others[id(hook)])


def _calls(hooks: list[Webhook]) -> Iterator[list[Webhook]]:
    """The webhooks that certainly get the same pod, for each way to label it and its namespace."""
    revisions = [None, *sorted({hook.revision for hook in hooks})]
    spaces = [
        {NAMESPACE_INJECTION: word, REVISION: revision, "kubernetes.io/metadata.name": "shop"}
        for word, revision in product((None, "enabled", "disabled"), revisions)
    ]
    pods = [
        {INJECT: word, REVISION: revision} for word, revision in product((None, "true", "false"), revisions)
    ]
    by_space = [{id(h) for h in hooks if _selects(h.namespace_selector, space)} for space in spaces]
    by_pod = [{id(h) for h in hooks if _selects(h.object_selector, pod)} for pod in pods]
    for inside, selected in product(by_space, by_pod):
        both = inside & selected
        if len(both) > 1:
            yield [hook for hook in hooks if id(hook) in both]


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str | None]) -> bool:
    return selects(selector, lambda key: Fact.of(labels.get(key))) is True


def _apart(one: Webhook, other: Webhook) -> bool:
    """Another webhook, and not that of another version of the same object."""
    if one is other:
        return False
    return one.resource is other.resource or one.resource.key != other.resource.key


def _twice(hook: Webhook, other: Webhook) -> Draft:
    name, its = text_of(hook.node.get("name")) or "", text_of(other.node.get("name")) or ""
    whose = "" if hook.resource is other.resource else f" of {other.resource.title}"
    same = hook.revision == other.revision
    effect = "is injected twice" if same else f"gets the proxies of {hook.revision} and of {other.revision}"
    place = Place(hook.resource, hook.node.get("name") or hook.node)
    return Draft(
        place,
        f"{hook.resource.title} has the webhook {name}, which gets the same pods as {its}{whose}: "
        f"a pod {effect}",
        label="for the same pods",
        help="let the selectors exclude each other, as those of Istio's charts do",
        related=(("the other one", Place(other.resource, other.node.get("name") or other.node)),),
        severity="warning" if same else None,
        confidence=None if hook.resource.file is other.resource.file else "medium",
        equivalents=("IST0139",),
    )
