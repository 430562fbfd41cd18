"""Is a request let through by all proxies in its way: the gateway, waypoints, the pods it is for?

Spec security 4.3 and 5; traffic 1.5 and 1.11. Mutual TLS, tokens and policies decide; a request that no rule
takes, or whose destination does not exist, reaches nobody and so is not let through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from meshlint.mesh.access import Access, in_chain
from meshlint.mesh.attachment import Proxy, proxy_of
from meshlint.mesh.authz import Peer, Request, Token
from meshlint.mesh.facts import Fact
from meshlint.mesh.rewrites import Rewritten, rewrite
from meshlint.mesh.served import Served, Way
from meshlint.mesh.shares import Lost, Share, Shares
from meshlint.records import dataclass
from meshlint.source.nodes import string_map, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.gateways import Gateway
    from meshlint.mesh.mesh import Mesh
    from meshlint.mesh.registry import Service
    from meshlint.mesh.workloads import Workload


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends the request: a pod of the mesh, or somebody in front of a gateway.

    `peer` is None where it is unknown whether the caller has a proxy; `token` is the one it carries. `named`
    is the service whose waypoint routes the request: wherever it then goes, it does not meet another one.
    """

    namespace: str = ""
    labels: dict[str, str] | None = None
    peer: Peer | None = None
    token: Token | None = None
    named: Service | None = None


class Passages:
    def __init__(self, mesh: Mesh, shares: Shares) -> None:
        self.mesh = mesh
        self.shares = shares
        self._connections: dict[tuple[object, ...], tuple[Fact[Access] | None, Peer]] = {}

    def access(self, served: Fact[Served], caller: Caller) -> Fact[Access]:
        """Is the request let through? `served` is known; where no rule takes it, its reason says why."""
        found = served.value
        if found.way is Way.NOWHERE:
            reason = served.reason or "no server or route is for the host"
            return Fact.of(Access.DENIED, *served.because, reason=f"it reaches nobody: {reason}")
        return in_chain([*self._access(found, caller)])

    def _access(self, served: Served, caller: Caller) -> Iterator[Fact[Access]]:
        rewritten = rewrite(served)
        gateway = served.gateway
        if gateway is not None:
            answers, token = self._at_gateway(gateway, served, caller)
            yield from answers
            caller = replace(caller, token=token)
        shares = self.shares.of(served)
        if not shares.known:
            yield Fact.missing(shares.reason, *shares.because)
        elif not rewritten.known:
            yield Fact.missing(rewritten.reason, *rewritten.because)
        else:
            split = shares.value
            found = [
                a for share in split.shares for a in self._of_share(share, served, caller, rewritten.value)
            ]
            found += map(_refused, split.lost)
            yield _same(found) if found else Fact.of(Access.ALLOWED, served.place, reason="nothing is called")

    def _at_gateway(
        self, gateway: Gateway, served: Served, caller: Caller
    ) -> tuple[list[Fact[Access]], Token | None]:
        if not gateway.istio:
            title = gateway.resource.title
            return [
                Fact.missing(f"whether Istio serves {title} is not in the input", gateway.resource.place())
            ], None
        answers, token = [], caller.token
        for proxy in self.mesh.exposures.proxies_of(gateway):
            refused, seen = self._token_at(proxy, caller.token)
            port = self.mesh.exposures.bound_port(proxy, served.port or 0)
            request = self._request(served, served.request.authority, served.request.path, port, seen)
            peer = caller.peer or Peer(mtls=False)
            answers.append(refused or self.mesh.access.at(proxy, replace(request, peer=peer)))
            if seen is not None and self._strips(proxy, seen):
                token = None
        return answers, token

    def _of_share(
        self, share: Share, served: Served, caller: Caller, seen: Rewritten
    ) -> Iterator[Fact[Access]]:
        if not share.services:
            yield Fact.missing(f"{share.host} is not in the input", share.place)
        for service in share.services:
            if service.kind in ("service-entry", "external-name") and not service.selector:
                yield Fact.of(
                    Access.ALLOWED, service.resource.place(), reason="outside of the mesh", certain=False
                )
                continue
            workloads = self._pods(service, share, caller)
            if not workloads:
                yield Fact.missing(f"the pods of {service.resource.title} are not in the input", share.place)
            for workload in workloads:
                yield self._of_workload(workload, service, share, served, caller, seen)

    def _pods(self, service: Service, share: Share, caller: Caller) -> list[Workload]:
        pods = self.mesh.registry.workloads_of(service)
        if not share.subset:
            return pods
        rules = self.mesh.destination_rules.for_host(caller.namespace, service, caller.labels)
        for subset in (s for rule in rules for s in rule.subsets):
            if text_of(subset.get("name")) == share.subset:
                labels = string_map(subset.get("labels"))
                return [pod for pod in pods if labels.items() <= pod.labels.items()]
        return []

    def _of_workload(
        self,
        workload: Workload,
        service: Service,
        share: Share,
        served: Served,
        caller: Caller,
        seen: Rewritten,
    ) -> Fact[Access]:
        if share.port is None:
            return Fact.missing(f"the port of {service.resource.title} is not known", share.place)
        target = self.mesh.registry.target_port(service, share.port, workload)
        if not target.known:
            return Fact.missing(target.reason, *target.because)
        gateway = served.gateway
        peer = self._client(gateway, caller)
        if peer is None:
            return Fact.missing("whether the caller is in the mesh is not in the input")
        broken, peer = self._connected(peer, service, share, workload, caller, gateway is not None)
        if broken is not None:
            return broken
        refused, token = self._token_at(proxy_of(workload), caller.token)
        entry = service.port(share.port)
        request = self._request(served, seen.host, seen.path, target.value, token)
        request = replace(request, peer=peer, http=served.http and not (entry is not None and entry.opaque))
        if caller.named is not None:
            before = replace(request, host=served.request.authority, path=served.request.path)
            return refused or self.mesh.access.to(workload, target.value, request, caller.named, before)
        by_waypoint = gateway is None or self.mesh.ambient.ingress_uses_waypoint(service.resource).is_(True)
        return refused or self.mesh.access.to(
            workload, target.value, request, service if by_waypoint else None
        )

    def _connected(
        self, peer: Peer, service: Service, share: Share, workload: Workload, caller: Caller, gateway: bool
    ) -> tuple[Fact[Access] | None, Peer]:
        """What the client's proxy makes of the connection; the same for all requests."""
        labels = None if caller.labels is None else tuple(sorted(caller.labels.items()))
        home = peer.namespace or caller.namespace
        key = (peer, home, labels, id(service), share.port, share.subset, id(workload), gateway)
        known = self._connections.get(key)
        if known is None and share.port is not None:
            known = self._connections[key] = self.mesh.access.sent(
                peer, home, service, share.port, workload,
                subset=share.subset or None, labels=caller.labels, gateway=gateway,
            )  # fmt: skip
        return known or (None, peer)

    def _client(self, gateway: Gateway | None, caller: Caller) -> Peer | None:
        if gateway is None:
            return caller.peer
        proxies = self.mesh.exposures.proxies_of(gateway)
        return self.mesh.exposures.identity(proxies[0], gateway)

    def _token_at(self, proxy: Proxy, token: Token | None) -> tuple[Fact[Access] | None, Token | None]:
        """A refusal of a token by a proxy, or the token as its policies see it."""
        rules = self.mesh.authn.rules_of(proxy)
        if token is None:
            return None, None
        if not rules:  # those that Kyma makes of an APIRule are not in the input
            exposed = proxy.workload is not None and self.mesh.api_rules.of(proxy.workload)
            return None, token if exposed else None
        if any(rule.issuer in ("", token.issuer) or is_placeholder(rule.issuer) for rule in rules):
            return None, token
        place = rules[0].resource.place(rules[0].node)
        return Fact.of(Access.DENIED, place, reason=f"tokens of {token.issuer} are not accepted"), None

    def _strips(self, proxy: Proxy, token: Token) -> bool:
        rules = self.mesh.authn.rules_of(proxy)
        return any(
            "header authorization" in rule.strips for rule in rules if rule.issuer in ("", token.issuer)
        )

    def _request(
        self, served: Served, host: str, path: str, port: int | None, token: Token | None
    ) -> Request:
        sent = served.request
        return Request(
            host=host,
            path=path,
            method=sent.method,
            port=port,
            token=token,
            trust_domains=self.mesh.access.trust_domains(),
            headers=dict(sent.headers),
        )


def _refused(lost: Lost) -> Fact[Access]:
    return Fact.of(Access.DENIED, lost.place, reason=f"it reaches nobody: {lost.reason}")


def _same(answers: list[Fact[Access]]) -> Fact[Access]:
    """One answer for all pods and destinations, or none."""
    if len({(a.state, a.value if a.known else None) for a in answers}) == 1:
        return answers[0]
    places = dict.fromkeys(place for answer in answers for place in answer.because)
    return Fact.missing("destinations of the request answer differently", *places)
