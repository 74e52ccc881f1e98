"""An estimate from noisy counts, its interval, and how much evidence there is for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

Z = 1.959963984540054  # of a normal distribution: 95% lie within
CLOSE = 0.1  # of the figure: what counts as near


class Evidence(StrEnum):
    """RELIABLE: the extract's figure is within a tenth of the truth, in at least 95 of 100 cases.
    INDICATIVE: the figure stands clear of noise, and may be off by more than a tenth. NOISE: it
    does not.
    """

    RELIABLE = "reliable"
    INDICATIVE = "indicative"
    NOISE = "noise"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Both ends, 95%."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True)
class NoisyEstimate:
    """A figure from noisy counts alone.

    source: of the patients that the model learned from, who are fixed: the mechanism's noise alone.
    population: of people like them: with what chance brought into the source. noise, sampling:
    standard deviations, in the figure's unit.
    """

    value: float
    source: Interval
    population: Interval
    noise: float
    sampling: float


@dataclass(frozen=True)
class Sum:
    """A sum of noisy cells: patients, and the variance of its noise."""

    patients: float
    variance: float


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From how many patients of the source a cell of a table stands clear of its noise, and from
    how many it is within a tenth.
    """

    table: tuple[str, ...]
    clear: int
    close: int


@dataclass(frozen=True, kw_only=True)
class Distance:
    """Total variation distance between extract and source, mean of `tables` tables of a kind: of
    the extract to the noisy counts (`seen`), and between which bounds that to the source lies, with
    95% certainty. Counts that a model was fitted to draw it near: `to_noisy` alone would flatter.
    """

    what: str
    tables: int
    to_noisy: float
    low: float
    high: float


def total_variance(within: float, between: float, noise: float, sets: int) -> float:
    """Variance of the mean of an analysis over several synthetic sets of one release.

    within: mean of the variances that the analysis prints, each as if its set were real; between:
    variance of its values among the sets; noise: variance of the same figure by the mechanism's
    noise, which all sets share, so that no number of sets shows it. Rubin's rules
    (within + (1 + 1/m) between) lack the last part.
    """
    return within + between / sets + noise


def evidence(
    figure: float, source: Interval, nothing: float | None = 0.0, widest: float = math.inf
) -> Evidence:
    """Of a figure of the extract, from the interval of the same figure in the source. nothing: what
    the figure would be without any signal (0 of a share, 1 of a ratio), if there is such a value;
    widest: a wider interval tells nothing.
    """
    if math.isnan(figure) or math.isnan(source.low):
        return Evidence.NOISE
    room = CLOSE * abs(figure)
    if figure != 0 and figure - room <= source.low and source.high <= figure + room:
        return Evidence.RELIABLE
    is_lost = (nothing is not None and source.holds(nothing)) or source.high - source.low > widest
    return Evidence.NOISE if is_lost else Evidence.INDICATIVE
