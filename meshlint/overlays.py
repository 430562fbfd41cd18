"""Which findings hold whatever overlays make of the manifests? (spec repositories 3)

The manifests are read in three ways: what kustomizations change is as written, as changed, and unknown.
A finding that is not there in all of them is of low confidence, wherever it stands. Of an object that is
built into several namespaces each is judged; what one rule finds at one place is said for the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from meshlint.findings import CONFIDENCES, Finding, Location, ResourceRef


def weighed(
    written: Iterable[Finding], others: Iterable[Iterable[Finding]], wanted: Collection[str] = CONFIDENCES
) -> list[Finding]:
    """The findings in the manifests as written, as sure as they are in the least sure of the readings.

    Only findings of the confidences that are `wanted` are left.
    """
    readings = [_surest(findings) for findings in others]
    found = []
    for finding in written:
        among = [finding.confidence, *(reading.get(_spot(finding), "low") for reading in readings)]
        confidence = max(among, key=CONFIDENCES.index)
        if confidence in wanted:
            found.append(replace(finding, confidence=confidence))
    return found


def _surest(findings: Iterable[Finding]) -> dict[_Spot, str]:
    surest: dict[_Spot, str] = {}
    for finding in findings:
        known = surest.get(_spot(finding), "low")
        surest[_spot(finding)] = min(known, finding.confidence, key=CONFIDENCES.index)
    return surest


#: rule and place, and the namespace of the object there; its name may be open
_Spot = tuple[str, Location, str | None]


def _spot(finding: Finding) -> _Spot:
    return finding.rule, finding.location, finding.resource.namespace if finding.resource else None


def said_once(findings: Iterable[Finding], files: Collection[str]) -> list[Finding]:
    """Without repetitions for the other namespaces into which the objects of some files are built."""
    first: dict[tuple[str, Location], ResourceRef | None] = {}
    return [
        finding
        for finding in findings
        if finding.location.file not in files
        or first.setdefault((finding.rule, finding.location), finding.resource) == finding.resource
    ]
