"""How the characters of a text file are written as bytes: which encodings a declaration may name.

A line must be readable for itself, whatever stands in the others: a byte that does not decode is
its own row's fault (privacy_rules.md 2 and 7). So an encoding in which a sign changes the meaning
of all that follows (UTF-7, ISO-2022) is refused.
"""

from __future__ import annotations

import codecs

UTF8 = "utf-8"
# signs that decide where cells and lines end; each must be one unit, the same wherever it stands
_SIGNS = "\t\n\r\x1b !\"'(),-.0123456789:;+~ABCXYZ_abcxyz{}|"
_MARKED = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": UTF8}


def encoding_fault(name: str) -> str | None:
    """What is wrong with a declared encoding; None: nothing."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return (
            f"{name!r} is no encoding that Python knows, such as utf-8, cp1252, latin-1, utf-16 or"
            " shift_jis"
        )
    if codec.incrementaldecoder is None or not _reads_lines_alone(plain_name(name)):
        return f"{name!r} does not encode each line for itself: save the file in UTF-8"
    return None


def plain_name(name: str) -> str:
    """The codec of text behind a byte-order mark, by one name for each codec."""
    codec = codecs.lookup(name).name
    return _MARKED.get(codec, codec)


def line_end(name: str) -> bytes:
    """The bytes of a line feed; as many as a unit of the encoding has."""
    return "\n".encode(plain_name(name))


def _reads_lines_alone(name: str) -> bool:
    try:
        units = [sign.encode(name) for sign in _SIGNS]
        return (
            len({len(unit) for unit in units}) == 1
            and _SIGNS.encode(name) == b"".join(units)
            and "".join(unit.decode(name) for unit in units) == _SIGNS
        )
    except (LookupError, UnicodeError, TypeError):
        return False
