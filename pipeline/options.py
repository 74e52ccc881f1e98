"""What every command line here shares: a parser that takes each option once, and the types of
options.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"[0-9]{1,12}")
_SO_FAR = "options_so_far"


class Parser(argparse.ArgumentParser):
    """Refuses an option that is given twice, unless it is declared with `action="append"`: of two
    values one would be dropped without a word. So do its subcommands.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)


class _Once(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        before: frozenset[str] = getattr(namespace, _SO_FAR, frozenset())
        if option_string is not None and self.dest in before:
            raise argparse.ArgumentError(self, "is given twice; give it once")
        setattr(namespace, _SO_FAR, before | {self.dest})
        setattr(namespace, self.dest, values)


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not _DIGITS.fullmatch(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def file_text(path: str) -> str:
    """What a text file holds."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {reason}") from None


def seed(text: str) -> int:
    """A whole number of at least 0."""
    if not _DIGITS.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no seed: a whole number of at least 0, of 12 digits at most"
        )
    return int(text)


def number(text: str) -> float:
    """A number that is one: not NaN, not infinite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return value


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    return tuple(number(part) for part in text.split(","))


def day(text: str) -> date:
    """A date, YYYY-MM-DD and no other form."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no date, write YYYY-MM-DD")
