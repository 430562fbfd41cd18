"""Which TLS settings of a server does Istio's validation refuse? (spec schemas 3.3 Gateway 20 to 36)

Servers of a Gateway and ingress listeners of a Sidecar share the block and its rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshlint.checks.admission.blocks import Block, judged, refused, warned
from meshlint.findings import Draft
from meshlint.source.nodes import Sequence

TERMINATING: Final = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})
PASSING: Final = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH"})
#: what a proxy needs only where it ends TLS itself
MATERIAL: Final = (
    "serverCertificate", "privateKey", "caCertificates", "tlsCertificates", "credentialName",
    "credentialNames", "caCrl",
)  # fmt: skip
_FILES: Final = ("serverCertificate", "privateKey", "caCertificates")
OF_CLIENTS: Final = frozenset({"MUTUAL", "OPTIONAL_MUTUAL"})
_CIPHERS: Final = frozenset(
    {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
    }
)  # fmt: skip


def mode_of(tls: Block) -> str | None:
    """The mode of a server's tls block; an absent one is PASSTHROUGH."""
    return tls.enum("mode", "PASSTHROUGH")


def has_files(tls: Block) -> bool:
    return any(tls.has(name) for name in _FILES)


def certificates(tls: Block, whose: str, secrets: bool = True) -> Iterator[Draft]:
    """Rows 23 to 28, 30, 31 and 33 to 36. `whose` names the server; `secrets`: it may use them."""
    mode = mode_of(tls)
    if mode == "ISTIO_MUTUAL":
        yield from _own_certificates(tls, whose)
        return
    yield from _sources(tls, whose)
    remote = tls.has("credentialName") or tls.has("credentialNames")
    if mode not in TERMINATING:
        if mode is not None and tls.has("caCrl") and tls.has("credentialName"):
            yield refused(
                tls.place("caCrl"),
                f"gives {whose} caCrl and credentialName",
                "beside credentialName",
                "drop caCrl; the Secret can hold the list of revoked certificates",
            )
    elif not remote and _unknown(tls, "credentialName", "credentialNames"):
        return
    elif not remote:
        yield from _files(tls, mode or "", whose, secrets)


def _own_certificates(tls: Block, whose: str) -> Iterator[Draft]:
    for name in MATERIAL[:-1]:
        if tls.has(name):
            yield refused(
                tls.place(name, "key"),
                f"gives {whose} {name} in mode ISTIO_MUTUAL, where the mesh's own certificates are used",
                "not with ISTIO_MUTUAL",
                f"drop {name}, or use mode SIMPLE or MUTUAL",
            )


def _sources(tls: Block, whose: str) -> Iterator[Draft]:
    """Pairs that the schema does not refuse already."""
    named = [name for name in ("credentialName", "credentialNames") if tls.has(name)]
    listed = tls.has("tlsCertificates")
    files = tls.has("serverCertificate") and tls.has("privateKey")
    other = None
    if files and (named or listed):
        first, other = "serverCertificate", (*named, "tlsCertificates")[0]
    elif listed and named == ["credentialName"]:
        first, other = "tlsCertificates", "credentialName"
    if other is not None:
        yield refused(
            tls.place(first, "key"),
            f"names two sources of certificates for {whose}, {first} and {other}",
            f"beside {other}",
            "keep one source: credentialName, credentialNames, tlsCertificates, or the two files",
        )


def _files(tls: Block, mode: str, whose: str, secrets: bool) -> Iterator[Draft]:
    authority = mode in OF_CLIENTS and tls.lacks("caCertificates") and tls.lacks("caCertCredentialName")
    pairs = tls.blocks("tlsCertificates")
    for holder in pairs or [tls]:
        missing = [name for name in ("serverCertificate", "privateKey") if holder.lacks(name)]
        if authority and holder is tls:
            missing.append("caCertificates")
        if missing:
            yield _missing(holder, missing, mode, whose, secrets)
    if authority and pairs:
        yield _missing(tls, ["caCertificates"], mode, whose, secrets)
    if mode == "SIMPLE" and tls.has("caCrl"):
        yield refused(
            tls.place("caCrl", "key"),
            f"gives {whose} caCrl in mode SIMPLE, where clients show no certificate that could be revoked",
            "not with SIMPLE",
            "drop caCrl, or use mode MUTUAL",
        )


def _missing(holder: Block, names: list[str], mode: str, whose: str, secrets: bool) -> Draft:
    first = names[0]
    return refused(
        holder.place(first if first in holder.node.index else "", "key"),
        f"has no {' and no '.join(names)} for {whose} in mode {mode}",
        f"without {', '.join(names)}",
        f"name {'a Secret in credentialName, or ' if secrets else ''}files of the proxy in serverCertificate "
        "and privateKey" + (", with caCertificates for the clients" if mode in OF_CLIENTS else ""),
    )


def _unknown(tls: Block, *names: str) -> bool:
    """Is one of the keys there with a null that a template may fill?"""
    return any(name in tls.node.index and not tls.lacks(name) for name in names)


def versions(tls: Block, whose: str) -> Iterator[Draft]:
    """Row 20."""
    version = tls.text("minProtocolVersion")
    if version in ("TLSV1_0", "TLSV1_1") and tls.lacks("cipherSuites"):
        yield warned(
            tls.place("minProtocolVersion"),
            f"lets {whose} speak {version} and names no cipherSuites; the ciphers that the proxy offers by "
            "default do not fit versions below 1.2",
            "older than TLS 1.2",
            "require TLSV1_2, or list cipherSuites that the old version knows",
        )


def ciphers(tls: Block, whose: str) -> Iterator[Draft]:
    """Rows 21 and 22."""
    seen: set[str] = set()
    written = tls.node.get("cipherSuites")
    for item in written.items if isinstance(written, Sequence) else ():
        name = judged(item)
        if name is None:
            continue
        place = tls.resource.place(item)
        if not _known(name):
            yield warned(
                place,
                f"lists the cipher suite {name!r} for {whose}, which the proxy does not know; it is left out",
                "unknown cipher suite",
                _spelling(name),
            )
        elif name in seen:
            yield warned(
                place,
                f"lists the cipher suite {name} for {whose} twice",
                "listed before",
                "keep one of them",
            )
        if name in _CIPHERS:
            seen.add(name)


def _known(name: str) -> bool:
    return name in ("", "ALL") or not name[0].isalnum() or name in _CIPHERS


def _spelling(name: str) -> str:
    if name.startswith(("TLS_AES_", "TLS_CHACHA20_")):
        return "the suites of TLS 1.3 cannot be chosen; leave them out"
    return "use OpenSSL's names, such as ECDHE-RSA-AES128-GCM-SHA256"
