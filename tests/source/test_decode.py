from __future__ import annotations

import codecs

import pytest

from meshlint.source.decode import DecodeError, decode

TEXT = "a: ü\r\nb: 漢\n"


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "utf-32-le"),
    ],
)
def test_encodings(data: bytes, codec: str) -> None:
    text, found = decode(data)
    assert text == TEXT
    assert found == codec


def test_latin_1_is_named_with_its_place() -> None:
    with pytest.raises(DecodeError, match=r"line 2, column 4: the byte 0xE9 is not UTF-8"):
        decode("a: ü\n".encode() + b"b: \xe9t\xe9\n")


def test_cut_utf_16() -> None:
    with pytest.raises(DecodeError, match="UTF-16"):
        decode(codecs.BOM_UTF16_LE + b"a\0:\0\xd8")


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", b"\xef\xbb\xbf"])
def test_short_inputs(data: bytes) -> None:
    assert decode(data)[0] in ("", "\0", "\0\0")
