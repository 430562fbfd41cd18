"""Does Go compile this regular expression? (spec schemas 3.2, H10)

Istio's webhook compiles every pattern with Go's `regexp`, whose dialect is RE2: no look-around, no
back-references, no possessive quantifiers. What is not in that dialect is refused. This follows Go's
parser step by step and keeps only what decides acceptance: where an operand is missing, and how
often an operand is repeated. A look at flags is not needed, they never change what is accepted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from meshlint.mesh.regex import MOST_REPEATS

_COUNTED: Final = re.compile(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}")
_FLAGS: Final = re.compile(r"\(\?([imsU]*(?:-[imsU]+)?)([:)])")
_NAMED: Final = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_POSIX: Final = re.compile(r"\[:(.*?):\]", re.DOTALL)
_POSIX_NAMES: Final = frozenset(
    {
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    }
)  # fmt: skip
_HEX_BRACES: Final = re.compile(r"\\x\{([0-9A-Fa-f]+)\}")
_HEX: Final = re.compile(r"\\x[0-9A-Fa-f]{2}")
_OCTAL: Final = re.compile(r"\\(?:0[0-7]{0,2}|[1-7][0-7]{1,2})")
_PROPERTY: Final = re.compile(r"\\[pP](?:\{([^}]*)\}|([^{]))", re.DOTALL)
_CONTROLS: Final = frozenset("afnrtv")
#: Unicode categories with their long names, and scripts, as Go compares them
_PROPERTY_NAMES: Final = """
any assigned ascii c cc cf cn co cs l lc ll lm lo lt lu m mc me mn n nd nl no p pc pd pe pf pi po ps
s sc sk sm so z zl zp zs casedletter closepunctuation combiningmark connectorpunctuation control
currencysymbol dashpunctuation decimalnumber enclosingmark finalpunctuation format
initialpunctuation letter letternumber lineseparator lowercaseletter mark mathsymbol modifierletter
modifiersymbol nonspacingmark number openpunctuation other otherletter othernumber otherpunctuation
othersymbol paragraphseparator privateuse punctuation separator spaceseparator spacingmark surrogate
symbol titlecaseletter unassigned uppercaseletter cntrl digit punct

adlam ahom anatolianhieroglyphs arabic armenian avestan balinese bamum bassavah batak bengali
bhaiksuki bopomofo brahmi braille buginese buhid canadianaboriginal carian caucasianalbanian chakma
cham cherokee chorasmian common coptic cuneiform cypriot cyprominoan cyrillic deseret devanagari
divesakuru dogra duployan egyptianhieroglyphs elbasan elymaic ethiopic georgian glagolitic gothic
grantha greek gujarati gunjalagondi gurmukhi han hangul hanifirohingya hanunoo hatran hebrew
hiragana imperialaramaic inherited inscriptionalpahlavi inscriptionalparthian javanese kaithi
kannada katakana kawi kayahli kharoshthi khitansmallscript khmer khojki khudawadi lao latin lepcha
limbu lineara linearb lisu lycian lydian mahajani makasar malayalam mandaic manichaean marchen
masaramgondi medefaidrin meeteimayek mendekikakui meroiticcursive meroitichieroglyphs miao modi
mongolian mro multani myanmar nabataean nagmundari nandinagari newtailue newa nko nushu
nyiakengpuachuehmong ogham olchiki oldhungarian olditalic oldnortharabian oldpermic oldpersian
oldsogdian oldsoutharabian oldturkic olduyghur oriya osage osmanya pahawhhmong palmyrene paucinhau
phagspa phoenician psalterpahlavi rejang runic samaritan saurashtra sharada shavian siddham
signwriting sinhala sogdian sorasompeng soyombo sundanese sylotinagri syriac tagalog tagbanwa taile
taitham taiviet takri tamil tangsa tangut telugu thaana thai tibetan tifinagh tirhuta toto ugaritic
vai vithkuqi wancho warangciti yezidi yi zanabazarsquare
"""
_PROPERTIES: Final = frozenset(_PROPERTY_NAMES.split())
_SEPARATORS: Final = str.maketrans("", "", "_- ")


class _RefusedError(Exception):
    """The pattern does not compile; the message is the reason."""


class _Group:
    """An open parenthesis: `last` is the operand a repetition would apply to, as its own repeat count."""

    __slots__ = ("last", "repeats")

    def __init__(self) -> None:
        self.repeats = 1
        self.last: int | None = None

    def operand(self, repeats: int = 1) -> None:
        self.fold()
        self.last = repeats

    def fold(self) -> None:
        if self.last is not None:
            self.repeats = max(self.repeats, self.last)
        self.last = None


@lru_cache(maxsize=4096)
def why_not_re2(pattern: str) -> str:
    """Why Go refuses the pattern, as the end of a sentence; '' where it compiles."""
    try:
        _Parser(pattern).run()
    except _RefusedError as refused:
        return str(refused)
    return ""


class _Parser:
    __slots__ = ("at", "groups", "repeated", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.groups = [_Group()]
        self.repeated = False

    def run(self) -> None:
        while self.at < len(self.text):
            after_repeat, self.repeated = self.repeated, False
            self._step(self.text[self.at], after_repeat)
        if len(self.groups) > 1:
            raise _RefusedError("has a ( without its )")

    def _step(self, char: str, after_repeat: bool) -> None:
        if char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char == "|":
            self.groups[-1].fold()
            self.at += 1
        elif char == "[":
            self._character_class()
            self.groups[-1].operand()
        elif char in "*+?":
            self._repeat(self.at + 1, None, after_repeat)
        elif char == "{":
            self._counted(after_repeat)
        elif char == "\\":
            self._backslash()
        else:
            self.at += 1
            self.groups[-1].operand()

    def _open(self) -> None:
        if not self.text.startswith("(?", self.at):
            self.at += 1
        elif named := _NAMED.match(self.text, self.at):
            self.at = named.end()
        elif flags := _FLAGS.match(self.text, self.at):
            self.at = flags.end()
            if flags.group(2) == ")":
                return
        else:
            raise _RefusedError(self._wrong_group())
        self.groups.append(_Group())

    def _wrong_group(self) -> str:
        what = self.text[self.at : self.at + 4]
        for look in ("(?=", "(?!", "(?<=", "(?<!"):
            if what.startswith(look):
                return f"uses look-around, {look}, which RE2 has not"
        if what.startswith("(?>"):
            return "uses an atomic group, (?>, which RE2 has not"
        if what.startswith(("(?P<", "(?<")):
            return "has a group name that is no word of ASCII letters, digits and underscores"
        return f"has a group that RE2 does not know, {what}"

    def _close(self) -> None:
        if len(self.groups) == 1:
            raise _RefusedError("has a ) without its (")
        closed = self.groups.pop()
        closed.fold()
        self.groups[-1].operand(closed.repeats)
        self.at += 1

    def _counted(self, after_repeat: bool) -> None:
        counted = _COUNTED.match(self.text, self.at)
        if counted is None:  # a brace as it stands
            self.at += 1
            self.groups[-1].operand()
            return
        least = int(counted.group(1))
        most = least
        if counted.group(2) is not None:
            most = int(counted.group(3) or -1)
        if least > MOST_REPEATS or most > MOST_REPEATS or 0 <= most < least:
            raise _RefusedError(
                f"has the repetition {counted.group()}; RE2 wants rising counts up to {MOST_REPEATS}"
            )
        self._repeat(counted.end(), (least, most), after_repeat)

    def _repeat(self, end: int, counts: tuple[int, int] | None, after_repeat: bool) -> None:
        if end < len(self.text) and self.text[end] == "?":
            end += 1
        written = self.text[self.at : end]
        if after_repeat:
            raise _RefusedError(
                f"repeats a repetition, {written}; RE2 has no possessive or stacked quantifiers"
            )
        group = self.groups[-1]
        if group.last is None:
            raise _RefusedError(f"has nothing before {written} that could be repeated")
        if counts is not None:
            group.last = self._times(group.last, counts)
        self.at = end
        self.repeated = True

    def _times(self, repeats: int, counts: tuple[int, int]) -> int:
        least, most = counts
        if most == 0:  # nothing inside counts any more
            return 1
        times = most if most > 0 else max(least, 1)
        if times >= 2 and repeats * times > MOST_REPEATS:
            raise _RefusedError(f"has nested repetitions of more than {MOST_REPEATS} times")
        return repeats * times

    def _backslash(self) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following == "Q":
            literal, _, rest = self.text[self.at + 2 :].partition("\\E")
            self.at = len(self.text) - len(rest)
            if literal:
                self.groups[-1].operand()
            return
        if following in ("A", "b", "B", "z"):
            self.at += 2
        elif not self._class_escape():
            self._character_escape()
        self.groups[-1].operand()

    def _class_escape(self) -> bool:
        r"""``\d`` and the like, ``\pL``, ``\p{Greek}``; False if something else stands here."""
        following = self.text[self.at + 1 : self.at + 2]
        if following and following in "dswDSW":
            self.at += 2
            return True
        if not following or following not in "pP":
            return False
        found = _PROPERTY.match(self.text, self.at)
        name = (found.group(1) if found.group(1) is not None else found.group(2)) if found else ""
        if found is None or name.removeprefix("^").translate(_SEPARATORS).lower() not in _PROPERTIES:
            raise _RefusedError(
                f"names a character class that RE2 does not know, {self.text[self.at :][:12]}"
            )
        self.at = found.end()
        return True

    def _character_escape(self) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if not following:
            raise _RefusedError("ends in a single backslash")
        if following.isascii() and (not following.isalnum() or following in _CONTROLS):
            self.at += 2
            return
        found = _OCTAL.match(self.text, self.at) or _HEX.match(self.text, self.at)
        if found is None:
            braces = _HEX_BRACES.match(self.text, self.at)
            found = braces if braces and int(braces.group(1), 16) <= 0x10FFFF else None
        if found is None:
            raise _RefusedError(_wrong_escape(following))
        self.at = found.end()

    def _character_class(self) -> None:
        start = self.at
        self.at += 2 if self.text.startswith("[^", start) else 1
        first = True
        while first or not self.text.startswith("]", self.at):
            first = False
            if self.at >= len(self.text):
                raise _RefusedError("has a [ without its ]")
            if not (self._posix_class() or (self.text[self.at] == "\\" and self._class_escape())):
                self._range()
        self.at += 1

    def _posix_class(self) -> bool:
        found = _POSIX.match(self.text, self.at)
        if found is None:
            return False
        if found.group(1).removeprefix("^") not in _POSIX_NAMES:
            raise _RefusedError(f"names a character class that RE2 does not know, {found.group()}")
        self.at = found.end()
        return True

    def _range(self) -> None:
        start = self.at
        low = self._class_character()
        if not self.text.startswith("-", self.at) or self.text.startswith("-]", self.at):
            return
        if self.at + 1 >= len(self.text):
            return
        self.at += 1
        if self._class_character() < low:
            raise _RefusedError(f"has a range that runs backwards, {self.text[start : self.at]}")

    def _class_character(self) -> int:
        if self.at >= len(self.text):
            raise _RefusedError("has a [ without its ]")
        start = self.at
        if self.text[start] != "\\":
            self.at += 1
            return ord(self.text[start])
        self._character_escape()
        return _code_point(self.text[start + 1 : self.at])


def _code_point(escape: str) -> int:
    """What an accepted escape stands for, without its backslash."""
    if escape[0] == "x":
        return int(escape[1:].strip("{}"), 16)
    if escape.isdigit():
        return int(escape, 8)
    return ord({"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}.get(escape, escape))


def _wrong_escape(following: str) -> str:
    if following in "123456789":
        return f"uses a back-reference, \\{following}, which RE2 has not"
    return f"uses an escape that RE2 has not, \\{following}"
