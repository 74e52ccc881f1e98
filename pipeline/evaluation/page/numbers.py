"""Numbers as people read them: no exponents, no needless places, a dash for what is not known."""

from __future__ import annotations

import math

UNKNOWN = "–"
MINUS = "\u2212"
SMALLEST = 0.001  # below it a number is said to be under it
LARGEST = 1e15
RATIOS = ("hazard ratio", "odds ratio")


def number(value: float, digits: int = 3) -> str:
    """Up to `digits` significant digits, whole numbers whole, thousands apart: 12,345 and 0.031."""
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else signed(value, "infinite")
    size = abs(value)
    if size >= LARGEST:
        return signed(value, "over a thousand trillion")
    if size == 0 or size >= 10 ** (digits - 1):
        return signed(round(value), f"{round(size):,}")
    if size < SMALLEST:
        return f"under {SMALLEST}" if value > 0 else f"over {MINUS}{SMALLEST}"
    places = digits - 1 - math.floor(math.log10(size))
    text = f"{size:.{places}f}"
    return signed(value, text.rstrip("0").rstrip(".") if "." in text else text)


def signed(value: float, text: str) -> str:
    return (MINUS if value < 0 else "") + text


def count(value: int) -> str:
    return f"{value:,}"


def percent(share: float) -> str:
    """A share in percent: 100%, 87%, 3.4%, under 0.1%; never 100% of what is not all."""
    if not math.isfinite(share):
        return UNKNOWN
    size = abs(share)
    if size == 0:
        return "0%"
    if size < 0.001:
        return "under 0.1%"
    if 0.999 < size < 1:
        return signed(share, "over 99.9%")
    places = 0 if 0.0995 <= size < 0.995 or size >= 1 else 1
    text = f"{100 * size:.{places}f}"
    return signed(share, f"{text.removesuffix('.0')}%")


def brief(share: float) -> str:
    """As `percent`, with signs for words and as many places as its neighbours: for plots."""
    if 0.001 <= share < 0.0995:
        return f"{100 * share:.1f}%"
    return percent(share).replace("under ", "<").replace("over ", ">")


def points(gap: float) -> str:
    """A difference of two shares, in percentage points, with its sign."""
    if not math.isfinite(gap):
        return UNKNOWN
    size = f"{abs(100 * gap):.1f}".removesuffix(".0")
    sign = "" if size == "0" else ("+" if gap > 0 else MINUS)
    return f"{sign}{size} point" + ("" if size == "1" else "s")


def with_unit(value: float, unit: str, digits: int = 3) -> str:
    text = number(value, digits)
    return text if text == UNKNOWN else text + suffix(unit)


def suffix(unit: str) -> str:
    """A ratio is named by the column or the axis."""
    if not unit or unit in RATIOS:
        return ""
    return "%" if unit == "%" else f" {unit}"


def plural(n: int, thing: str, things: str = "") -> str:
    """ "1 analysis", "3 analyses"."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def listing(names: list[str], most: int = 3) -> str:
    """ "a, b and c"; of many the first few and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
