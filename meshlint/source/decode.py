"""Bytes -> text: which encoding is a file in, and where does it stop making sense?

UTF-8 is what Kubernetes tools write; byte order marks and UTF-16 come from Windows editors. Nothing
is guessed beyond that: a byte that is not UTF-8 is an error with its line and column.
"""

from __future__ import annotations

import codecs


class DecodeError(ValueError):
    """The bytes are no text that YAML allows; the message names line, column and byte."""


def decode(data: bytes) -> tuple[str, str]:
    """The text without its byte order mark, and the codec that writes the same bytes back."""
    codec, mark = _codec_of(data)
    try:
        return data[mark:].decode(codec), _with_mark(codec, mark)
    except UnicodeDecodeError as error:
        raise DecodeError(_explain(data[mark:], codec, error)) from error


def _codec_of(data: bytes) -> tuple[str, int]:
    """Codec and length of the byte order mark (YAML 1.2, 5.2: a NUL tells UTF-16 without a mark)."""
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8", 3
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return ("utf-32-le" if data.startswith(codecs.BOM_UTF32_LE) else "utf-32-be"), 4
    if data.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if data.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    if len(data) >= 2 and len(data) % 2 == 0 and (data[0] == 0) != (data[1] == 0):
        return ("utf-16-be" if data[0] == 0 else "utf-16-le"), 0
    return "utf-8", 0


def _with_mark(codec: str, mark: int) -> str:
    return "utf-8-sig" if codec == "utf-8" and mark else codec


def _explain(data: bytes, codec: str, error: UnicodeDecodeError) -> str:
    before = data[: error.start].decode(codec, "replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    byte = f"0x{data[error.start]:02X}"
    if codec == "utf-8":
        return f"line {line}, column {column}: the byte {byte} is not UTF-8; save the file as UTF-8"
    return f"line {line}, column {column}: the byte {byte} is not {codec.upper()[:6]}; save the file as UTF-8"
