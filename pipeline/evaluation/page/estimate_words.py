"""An estimate with its interval as a reader meets it: 71% (68 to 74)."""

from __future__ import annotations

import math
import re

from pipeline.evaluation.findings import Estimate
from pipeline.evaluation.page.numbers import MINUS, UNKNOWN, percent, signed, suffix, with_unit

UNSIGNED_ZERO = re.compile(f"^{MINUS}(0(?:\\.0*)?)$")


def estimate(one: Estimate | None, unit: str = "") -> str:
    """ "71% (68 to 74)"; without the interval where there is none."""
    if one is None:
        return UNKNOWN
    if not math.isfinite(one.low) or not math.isfinite(one.high) or not math.isfinite(one.value):
        return with_unit(one.value, unit)
    value, low, high = _alike((one.value, one.low, one.high))
    return f"{value}{suffix(unit)} ({low} to {high})"


def shares(one: Estimate | None) -> str:
    """As `estimate`, of a share between 0 and 1."""
    if one is None:
        return UNKNOWN
    if not math.isfinite(one.low) or not math.isfinite(one.high) or not math.isfinite(one.value):
        return percent(one.value)
    value, low, high = _alike((100 * one.value, 100 * one.low, 100 * one.high), most=1)
    return f"{value}% ({low} to {high})"


def _alike(values: tuple[float, ...], most: int = 3) -> list[str]:
    """With as many places each as the largest needs for three digits, none where all are whole."""
    largest = max(abs(value) for value in values)
    digits = 2 - math.floor(math.log10(largest)) if largest else 0
    places = min(max(digits, 0), most)
    texts = [signed(value, f"{abs(value):,.{places}f}") for value in values]
    while places and all(text.endswith("0") for text in texts):
        texts = [text[:-1].removesuffix(".") for text in texts]
        places -= 1
    return [UNSIGNED_ZERO.sub(r"\1", text) for text in texts]
