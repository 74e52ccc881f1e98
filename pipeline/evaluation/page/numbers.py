"""Numbers as people read them: no exponents, no needless places, a dash for what is not known."""

from __future__ import annotations

import math

from pipeline.evaluation.findings import Estimate

UNKNOWN = "–"
MINUS = "\u2212"
SMALLEST = 0.001  # below it a number is said to be under it
LARGEST = 1e15


def number(value: float, digits: int = 3) -> str:
    """Up to `digits` significant digits, whole numbers whole, thousands apart: 12,345 and 0.031."""
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else _signed(value, "infinite")
    size = abs(value)
    if size >= LARGEST:
        return _signed(value, "over a thousand trillion")
    if size == 0 or size >= 10 ** (digits - 1):
        return _signed(round(value), f"{round(size):,}")
    if size < SMALLEST:
        return f"under {SMALLEST}" if value > 0 else f"over {MINUS}{SMALLEST}"
    places = digits - 1 - math.floor(math.log10(size))
    text = f"{size:.{places}f}"
    return _signed(value, text.rstrip("0").rstrip(".") if "." in text else text)


def _signed(value: float, text: str) -> str:
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
        return _signed(share, "over 99.9%")
    places = 0 if 0.0995 <= size < 0.995 or size >= 1 else 1
    text = f"{100 * size:.{places}f}"
    return _signed(share, f"{text.removesuffix('.0')}%")


def points(gap: float) -> str:
    """A difference of two shares, in percentage points, with its sign."""
    if not math.isfinite(gap):
        return UNKNOWN
    size = f"{abs(100 * gap):.1f}".removesuffix(".0")
    sign = "" if size == "0" else ("+" if gap > 0 else MINUS)
    return f"{sign}{size} point" + ("" if size == "1" else "s")


def with_unit(value: float, unit: str, digits: int = 3) -> str:
    text = number(value, digits)
    if text == UNKNOWN or not unit or unit in ("hazard ratio", "odds ratio"):
        return text  # a ratio is named by the column or the axis
    return f"{text}%" if unit == "%" else f"{text} {unit}"


def interval(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def estimate(one: Estimate | None, unit: str = "") -> str:
    """ "71% (68 to 74)"; without the interval where there is none."""
    if one is None:
        return UNKNOWN
    text = with_unit(one.value, unit)
    if math.isnan(one.low) or math.isnan(one.high) or text == UNKNOWN:
        return text
    return f"{text} ({interval(one.low, one.high)})"


def shares(one: Estimate | None) -> str:
    """As `estimate`, of a share between 0 and 1."""
    if one is None:
        return UNKNOWN
    text = percent(one.value)
    if math.isnan(one.low) or math.isnan(one.high) or text == UNKNOWN:
        return text
    return f"{text} ({percent(one.low)} to {percent(one.high)})"


def plural(n: int, thing: str, things: str = "") -> str:
    """ "1 analysis", "3 analyses"."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def listing(names: list[str], most: int = 3) -> str:
    """ "a, b and c"; of many the first few and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
