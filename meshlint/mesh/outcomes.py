"""What becomes of a request once its rule is known? One question of a route test, one method.

Where it goes and what is copied: `shares`; what the rule changes or answers: `rewrites`; who is let in:
`passages`; timeouts and retries: spec traffic 2.4 and 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlint.mesh.facts import Fact
from meshlint.mesh.passages import Caller, Passages
from meshlint.mesh.retries import NOT_APPLICABLE as NO_RETRY
from meshlint.mesh.retries import Retry
from meshlint.mesh.rewrites import DirectResponse, direct_response
from meshlint.mesh.served import Served, Way
from meshlint.mesh.shares import Share, Shares, Split
from meshlint.mesh.timeouts import DISABLED, Timeout
from meshlint.mesh.timeouts import NOT_APPLICABLE as NO_TIMEOUT

if TYPE_CHECKING:
    from meshlint.mesh.access import Access
    from meshlint.mesh.mesh import Mesh


class Outcomes:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._shares = Shares(mesh)
        self._passages = Passages(mesh, self._shares)

    def shares(self, served: Served) -> Fact[Split]:
        """Where the request goes, and which part of it reaches nobody."""
        return self._shares.of(served)

    def mirror(self, served: Served) -> Fact[tuple[Share, ...]]:
        """Where copies of it go."""
        return self._shares.copies(served)

    def direct_response(self, served: Served) -> Fact[DirectResponse | None]:
        """An answer of the proxy itself; for what goes to nobody it is 503, of the Gateway API 500."""
        route = served.route
        if route is None or route.action != "route":
            return direct_response(served)
        split = self.shares(served)
        if not split.known:
            return Fact.missing(split.reason, *split.because)
        lost = [part for part in split.value.lost if part.status]
        if not lost:
            return Fact.of(None, *split.because, reason=split.reason, certain=split.certain)
        answer = DirectResponse(lost[0].status, "", sum(part.percent for part in lost))
        reason = "; ".join(dict.fromkeys(part.reason for part in lost))
        return Fact.of(answer, *(part.place for part in lost), reason=reason, certain=split.certain)

    def timeout(self, served: Served) -> Fact[Timeout]:
        if served.route is not None:
            return self.mesh.timeouts.of(served.route)
        if served.way is not Way.SERVICE or not served.http:
            return Fact.of(NO_TIMEOUT, served.place, reason="nothing is proxied as HTTP")
        if self.mesh.timeouts.patches.anywhere(served.service.namespace if served.service else ""):
            return Fact.missing("an EnvoyFilter patches routes", served.place)
        return Fact.of(DISABLED, served.place, reason="no rule sets one", certain=False)

    def retries(self, served: Served) -> Fact[Retry]:
        if served.route is not None:
            return self.mesh.retries.of(served.route)
        if served.way is not Way.SERVICE or not served.http:
            return Fact.of(NO_RETRY, served.place, reason="nothing is proxied as HTTP")
        return self.mesh.retries.mesh_default

    def access(self, served: Fact[Served], caller: Caller) -> Fact[Access]:
        """Is the request let through by all proxies in its way, the caller's own routing aside?"""
        return self._passages.access(served, caller)
