"""Which Secrets are there, which are made by somebody else, and do they hold a certificate?

Spec traffic 5.11 (credential lookup). Secrets are seldom kept in plain text: SealedSecrets, ExternalSecrets,
Certificates of cert-manager and whatever names the Secret that it writes count as the Secret.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from meshlint.records import dataclass
from meshlint.source.nodes import Mapping, Scalar, mappings, text_of
from meshlint.source.templates import is_placeholder

if TYPE_CHECKING:
    from meshlint.mesh.mesh import Mesh
    from meshlint.resources import Place, Resource

#: where objects say the name of the Secret that they write; those without a path give it their own name
_TARGETS: Final = (
    ("spec", "secretName"),
    ("spec", "secretRef", "name"),
    ("spec", "target", "name"),
    ("spec", "destination", "name"),
    ("spec", "output", "name"),
    ("spec", "template", "metadata", "name"),
    ("spec", "externalSecretSpec", "target", "name"),
    ("spec", "managedSecretReference", "secretName"),
)
#: objects with these groups never write Secrets
_NOT_MAKERS: Final = frozenset(
    {
        "", "apps", "batch", "autoscaling", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
        "networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io",
        "apiextensions.k8s.io", "admissionregistration.k8s.io",
    }
)  # fmt: skip
#: kinds that write into many namespaces
_EVERYWHERE: Final = frozenset({"ClusterExternalSecret", "Bundle", "ClusterSecret"})
#: parts of the annotations with which controllers copy a Secret into other namespaces
_COPIED: Final = ("reflect", "replicat", "kubed", "/sync", "clustersecret")
_CERT_MANAGER: Final = "cert-manager.io/"
_PAIRS: Final = (("tls.crt", "tls.key"), ("cert", "key"))
_AUTHORITIES: Final = ("ca.crt", "cacert")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a gateway cannot use a Secret, and where that shows."""

    reason: str
    place: Place


class Secrets:
    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def find(self, namespace: str, name: str) -> list[Resource]:
        return self.mesh.scope.find("", "Secret", namespace, name)

    def exists(self, namespace: str, name: str) -> bool:
        """Is it in the input, or does an object of the input write it?"""
        if self.find(namespace, name) or (namespace, name) in self._made or name in self._made_everywhere:
            return True
        return any(_is_copied(resource) for resource in self.elsewhere(name))

    def missing(self, namespace: str, name: str) -> str | None:
        """How sure is it that there is none? 'high', 'medium', 'low'; None: unknown.

        One of that name in another namespace tells that Secrets are kept here, and where the author
        thought that it belongs.
        """
        sure = self.mesh.absence.of("", "Secret", namespace, name)
        if sure == "high" or self.mesh.settings.remainder or self.mesh.existence.installed_into(namespace):
            return sure
        others = self.elsewhere(name)
        if others and all(resource.namespace_written for resource in others):
            return "medium"
        return sure

    def elsewhere(self, name: str) -> list[Resource]:
        """Objects of any namespace that are the Secret of that name, or write it."""
        return [*self.mesh.absence.elsewhere("", "Secret", name), *self._makers.get(name, ())]

    def flaw(self, secret: Resource, *, authority: bool) -> Flaw | None:
        """What a certificate is missing in a Secret of the input; `authority`: clients show one too.

        None where it is complete or where something else fills it.
        """
        data = _data(secret)
        if not data:
            return None
        pair = next((p for p in _PAIRS if all(key in data for key in p)), None)
        if pair is None:
            wanted = " and ".join(_PAIRS[1 if "cert" in data or "key" in data else 0])
            return Flaw(f"has no {wanted}", secret.place_at("data" if secret.get("data") else "stringData"))
        certificate = data[pair[0]]
        if _is_no_certificate(certificate, encoded=secret.get("data", pair[0]) is certificate):
            return Flaw(f"holds no certificate in {pair[0]}", secret.place(certificate))
        if authority and not any(key in data for key in _AUTHORITIES):
            place = secret.place_at("data" if secret.get("data") else "stringData")
            return Flaw("has no ca.crt", place)
        return None

    @cached_property
    def _made(self) -> set[tuple[str, str]]:
        return {(resource.ns, name) for name, found in self._makers.items() for resource in found}

    @cached_property
    def _made_everywhere(self) -> set[str]:
        return {
            name
            for name, found in self._makers.items()
            if any(r.kind in _EVERYWHERE or _is_copied(r) for r in found)
        }

    @cached_property
    def _makers(self) -> dict[str, list[Resource]]:
        """Objects that write Secrets, by the name of the Secret."""
        makers: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.mesh.scope.resources:
            if resource.group not in _NOT_MAKERS:
                for name in dict.fromkeys(_written_by(resource)):
                    makers[name].append(resource)
        return makers


def _written_by(resource: Resource) -> Iterator[str]:
    """Names of Secrets that an object may write."""
    if resource.group in ("networking.k8s.io", "extensions", "gateway.networking.k8s.io"):
        yield from _shims(resource)
        return
    yield resource.name
    for path in _TARGETS:
        name = resource.text(*path)
        if name:
            yield name
    for item in resource.mappings("spec", "secretObjects"):
        name = text_of(item.get("secretName"))
        if name:
            yield name


def _shims(resource: Resource) -> Iterator[str]:
    """cert-manager makes the Secrets that an annotated Ingress or Gateway names."""
    if not any(key.startswith(_CERT_MANAGER) for key in resource.annotations):
        return
    for item in resource.mappings("spec", "tls"):
        yield text_of(item.get("secretName")) or ""
    for listener in resource.mappings("spec", "listeners"):
        for reference in mappings(listener.dig("tls", "certificateRefs")):
            yield text_of(reference.get("name")) or ""


def _is_copied(resource: Resource) -> bool:
    template = resource.mapping("spec", "secretTemplate", "annotations")
    keys = [*resource.annotations, *(template or ())]
    return any(part in key for key in keys for part in _COPIED)


def _data(secret: Resource) -> dict[str, Scalar]:
    """The entries of a Secret; none where a template or another tool fills a part of it."""
    found: dict[str, Scalar] = {}
    for field in ("data", "stringData"):
        written = secret.get("spec", field) if secret.kind != "Secret" else secret.get(field)
        if written is None:
            continue
        if not isinstance(written, Mapping):
            return {}
        for key, (_, value) in written.index.items():
            if not isinstance(value, Scalar) or not value.text or is_placeholder(value.text):
                return {}
            found[key] = value
    return found


def _is_no_certificate(value: Scalar, *, encoded: bool) -> bool:
    """Is it certain that the text is no PEM block? Encrypted and abridged texts are not judged."""
    text = value.text
    if text.startswith("ENC[") or "..." in text:
        return False
    if encoded:
        try:
            text = b64decode("".join(text.split()), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            return False
    return "-----BEGIN" not in text and not is_placeholder(text) and "..." not in text
