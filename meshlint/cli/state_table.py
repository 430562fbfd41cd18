"""The state of a mesh as text for a terminal: a block per workload and route, a line per answer."""

from __future__ import annotations

from collections.abc import Iterator

from meshlint.cli.state import Answer, ExposureState, RouteState, State, WorkloadState
from meshlint.report.paint import Paint

_LABEL = 14
_VALUE = 34


def table(state: State, look: Paint) -> Iterator[str]:
    """Lines: what, the answer, and the lines that decide it."""
    for workload in state.workloads:
        yield from _workload(workload, look)
    for route in state.routes:
        yield from _route(route, look)
    answers = [a for w in state.workloads for a in (w.data_plane, w.token, *(p.mtls for p in w.ports))]
    answers += [answer for route in state.routes for answer in (route.timeout, route.retries)]
    open_ = sum(1 for answer in answers if answer.state != "known")
    yield (
        f"{len(state.workloads)} workloads, {len(state.routes)} routes; "
        f"{len(answers) - open_} answers known, {open_} unknown"
    )


def _workload(workload: WorkloadState, look: Paint) -> Iterator[str]:
    yield f"{look.bold(workload.resource.title)}   {workload.at.text}"
    yield _line("data plane", workload.data_plane)
    for port in workload.ports:
        yield _line(f"mTLS {port.port}" if port.port else "mTLS", port.mtls)
    for policy in workload.authentication:
        yield _row("authentication", policy.effect, f"{policy.resource.title}, {policy.at.text}")
    for policy in workload.authorization:
        yield _row("authorization", policy.effect, f"{policy.resource.title}, {policy.at.text}")
    yield _line("token", workload.token)
    for exposure in workload.exposures:
        yield from _exposure(exposure)
    yield ""


def _exposure(exposure: ExposureState) -> Iterator[str]:
    hosts = ", ".join(exposure.hosts) or "any host"
    yield _row("exposed", exposure.by.title, f"{hosts}, {exposure.at.text}")
    for answer in exposure.token:
        yield _line("  token", answer)


def _route(route: RouteState, look: Paint) -> Iterator[str]:
    yield f"{look.bold(route.resource.title)} ({route.protocol} rule)   {route.at.text}"
    yield _row("hosts", ", ".join(route.hosts) or "none")
    via = [*route.gateways, *(("the mesh",) if route.mesh else ())]
    yield _row("through", ", ".join(via) or "nothing in the input")
    yield _row("to", "; ".join(route.destinations))
    yield _line("timeout", route.timeout)
    yield _line("retries", route.retries)
    yield ""


def _line(label: str, answer: Answer) -> str:
    value = answer.value if answer.value is not None else answer.state
    notes = [answer.reason] if answer.reason else []
    if answer.state == "known" and not answer.certain:
        notes.append("as far as the input shows")
    lines = list(dict.fromkeys(at.text for at in answer.because))
    notes += [", ".join(lines[:3])] if lines else []
    return _row(label, value, "; ".join(notes))


def _row(label: str, value: str, note: str = "") -> str:
    return f"  {label:<{_LABEL}} {value:<{_VALUE}}  {note}".rstrip()
