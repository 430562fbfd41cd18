"""Can a proxy find the module of a WasmPlugin or TrafficExtension? (spec schemas 3.3, traffic 7.7)

Lengths, digests and environments are in the schemas of the CRDs, and so are the schemes of URLs; how Go
reads a URL is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshlint.checks.admission.blocks import Block, refused, spec
from meshlint.checks.admission.urls import scheme_of, url_problem
from meshlint.findings import Draft
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import ISTIO_EXTENSIONS

Options = Mapping[str, Any]

_SCHEMES: Final = frozenset({"", "file", "http", "https", "oci"})


def check(mesh: Mesh, options: Options) -> Iterator[Draft]:
    for module in _modules(mesh):
        text = module.text("url")
        problem = module_problem(text) if text else ""
        if problem:
            yield refused(
                module.place("url"),
                f"loads its module from {text}, which {problem}",
                problem,
                "write the scheme in front of the registry: oci://registry.example.com:5000/filter:1.0",
            )


def _modules(mesh: Mesh) -> Iterator[Block]:
    for resource in mesh.scope.of(ISTIO_EXTENSIONS, "WasmPlugin"):
        block = spec(resource)
        if block is not None:
            yield block
    for resource in mesh.scope.of(ISTIO_EXTENSIONS, "TrafficExtension"):
        block = spec(resource)
        module = block.block("wasm") if block is not None else None
        if module is not None:
            yield module


def module_problem(text: str) -> str:
    """Why Istio does not take the URL of a module; '' if it does. Without a scheme it is an image."""
    scheme = scheme_of(text)
    if (scheme or text.startswith("/")) and not url_problem(text, requested=True):
        return url_problem(text) or (
            "" if scheme in _SCHEMES else f"has the scheme {scheme}, as Istio reads it"
        )
    return url_problem("http://" + text, requested=True) or url_problem("http://" + text)
