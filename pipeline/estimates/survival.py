"""Survival and hazard ratios from noisy counts of patients by days to the end and kind of the end:
life tables whose intervals hold the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.estimates.shares import Condition, cells_met
from pipeline.estimates.values import Interval, NoisyEstimate, Z
from pipeline.models.noisy_tables import NoisyTable
from pipeline.refusal import Refusal
from pipeline.schema.values import EventLog

DRAWS = 2000  # of noise and of chance, for the spread of an estimate
SEED = 0  # public: no privacy rests on it
_FACTS = ("survival", "end")
_CLEAR = 4.0  # standard deviations of noise by which those under risk must stand out


@dataclass(frozen=True, eq=False)
class LifeTable:
    """Patients whose pathway ends in each span of days, float64 [spans]: by the event that survival
    waits for (`deaths`), or by the end of observation (`censored`); the variance of the noise in
    each; `begins`: first day of each span.
    """

    begins: np.ndarray
    deaths: np.ndarray
    censored: np.ndarray
    variance: np.ndarray  # float64 [2, spans]: of deaths and of censored

    @property
    def edges(self) -> list[int]:
        """Days before which survival can be told: the first day of each span but the first."""
        return [int(day) for day in self.begins[1:]]


def life_table(
    tables: Sequence[NoisyTable], log: EventLog, conditions: Mapping[str, Condition]
) -> LifeTable:
    """Of the patients who meet the conditions, from every table that tells (by inverse variance).

    Raises Refusal where none does, or where the end of observation is a code of its event's type.
    """
    if set(log.censoring) & {code for kind in log.types.values() for code in kind.codes}:
        raise Refusal(
            "survival cannot be told from counts here: the declaration says by a code, not by a"
            " type of its own, who was still observed"
        )
    lives = [one for table in tables if (one := _of_table(table, log, conditions)) is not None]
    if not lives:
        raise Refusal(
            "no noisy table of this release counts survival by"
            f" {' and '.join(conditions) or 'anybody'}: see `events.counted` of its declaration"
        )
    weights = np.stack([1 / table.variance for table in lives])
    sums = weights.sum(0)
    deaths, censored = (
        sum(w[row] * getattr(table, name) for w, table in zip(weights, lives, strict=True))
        / sums[row]
        for row, name in enumerate(("deaths", "censored"))
    )
    return LifeTable(lives[0].begins, deaths, censored, 1 / sums)


def _of_table(
    table: NoisyTable, log: EventLog, conditions: Mapping[str, Condition]
) -> LifeTable | None:
    columns = table.columns
    if columns[-2:] != _FACTS or not set(conditions) <= set(columns[:-2]):
        return None
    chosen = []
    for axis in table.axes[:-2]:
        met = cells_met(axis, conditions.get(axis.name))
        if met is None:
            return None
        chosen.append(np.flatnonzero(met))
    spans, ends = table.axes[-2:]
    counts = table.counts[np.ix_(*chosen, *(np.arange(len(a.cells)) for a in (spans, ends)))]
    strata = math.prod(len(places) for places in chosen)
    counts = counts.reshape(strata, len(spans.cells), len(ends.cells)).sum(0)
    censoring = set(log.censoring or log.terminal[1:])
    names = [cell.values[0] for cell in ends.cells]
    is_death = np.array([name in log.terminal and name not in censoring for name in names])
    is_censored = np.array([name in censoring for name in names])
    each = table.sigma**2 * strata
    variance = np.repeat([[each * is_death.sum()], [each * is_censored.sum()]], len(counts), 1)
    begins = np.array([cell.low for cell in spans.cells], float)
    return LifeTable(begins, counts[:, is_death].sum(1), counts[:, is_censored].sum(1), variance)


def survival(table: LifeTable, day: int) -> NoisyEstimate:
    """Share still alive at the beginning of `day`, an edge of the table. Actuarial: who leaves
    observation within a span was under risk for half of it (Cutler and Ederer 1958). From 0 to 1
    where those under risk do not stand clear of their noise.
    """
    spans = table.edges.index(day) + 1
    if not _has_signal(table, spans):
        return _nothing(0.0, 1.0)
    estimate = _estimate(
        lambda deaths, censored: _alive(deaths, censored, spans), [table], _same, _same
    )
    return replace(
        estimate,
        value=_within(estimate.value),
        source=Interval(low=_within(estimate.source.low), high=_within(estimate.source.high)),
        population=Interval(
            low=_within(estimate.population.low), high=_within(estimate.population.high)
        ),
    )


def hazard_ratio(table: LifeTable, against: LifeTable) -> NoisyEstimate:
    """Hazard of the first over that of the second: Cox's partial likelihood (1972) with one
    covariate, on the spans, where those under risk are the mean of a span's beginning and end. From
    0 to infinity where those under risk do not stand clear of their noise.
    """
    if not all(_has_signal(one, 3) for one in (table, against)):
        return _nothing(0.0, math.inf)
    return _estimate(_log_ratio, [table, against], _same, lambda x: np.asarray(np.exp(x)))


def _log_ratio(
    deaths: np.ndarray, censored: np.ndarray, other: np.ndarray, gone: np.ndarray
) -> np.ndarray:
    """The logarithm at which the score is 0, [...] for [..., spans], by bisection; NaN where it has
    no zero.
    """
    first, second = _under_risk(deaths, censored), _under_risk(other, gone)

    def score(log: np.ndarray) -> np.ndarray:
        weight = first * np.exp(log)[..., None]
        share = weight / np.maximum(weight + second, 1e-9)
        return np.asarray((deaths - (deaths + other) * share).sum(-1))

    low, high = np.full(deaths.shape[:-1], -6.0), np.full(deaths.shape[:-1], 6.0)
    has_zero = (score(low) > 0) & (score(high) < 0)
    for _ in range(30):
        middle = (low + high) / 2
        is_low = score(middle) > 0
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.where(has_zero, (low + high) / 2, np.nan)


def _alive(deaths: np.ndarray, censored: np.ndarray, spans: int) -> np.ndarray:
    """Share that outlives so many spans, [...] for [..., spans]. A hazard that noise makes negative
    stays so: to cut it off would make everybody die sooner.
    """
    ends = deaths + censored
    at_risk = np.cumsum(ends[..., ::-1], -1)[..., ::-1] - censored / 2
    chance = np.minimum(deaths / np.maximum(at_risk, 1e-9), 1.0)
    return np.asarray(np.prod(1 - chance[..., :spans], -1))


def _under_risk(deaths: np.ndarray, censored: np.ndarray) -> np.ndarray:
    """Patients under risk in each span, the mean of its beginning and its end."""
    ends = deaths + censored
    beyond = np.cumsum(ends[..., ::-1], -1)[..., ::-1] - ends
    return np.asarray(np.maximum(beyond + ends / 2, 0.0))


def _has_signal(table: LifeTable, spans: int) -> bool:
    """Whether those under risk in each of the first spans stand clear of their noise."""
    ends = table.deaths + table.censored
    at_risk = np.cumsum(ends[::-1])[::-1][:spans]
    deviation = np.sqrt(np.cumsum(table.variance.sum(0)[::-1])[::-1][:spans])
    return bool((at_risk > _CLEAR * deviation).all())


def _nothing(low: float, high: float) -> NoisyEstimate:
    whole = Interval(low=low, high=high)
    return NoisyEstimate(
        value=math.nan, source=whole, population=whole, noise=math.inf, sampling=math.nan
    )


def _within(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _estimate(
    figure: Callable[..., np.ndarray],
    tables: Sequence[LifeTable],
    to_line: Callable[[np.ndarray], np.ndarray],
    from_line: Callable[[np.ndarray], np.ndarray],
) -> NoisyEstimate:
    """The figure, and its intervals by a parametric bootstrap: fresh noise on the counts, and fresh
    patients (Poisson) where the population is meant. Spreads are taken on a line on which the
    figure is nearly normal, from quantiles, because a few draws have no figure.
    """
    rng = np.random.default_rng(SEED)
    middle = float(to_line(figure(*(part for t in tables for part in (t.deaths, t.censored)))))
    spreads: list[float] = []
    for has_chance in (False, True):
        parts = []
        for table in tables:
            for counts, variance in zip(
                (table.deaths, table.censored), table.variance, strict=True
            ):
                shape = (DRAWS, len(counts))
                fresh = rng.poisson(counts.clip(min=0), shape) if has_chance else counts
                parts.append(fresh + rng.normal(0.0, np.sqrt(variance), shape))
        values = to_line(figure(*parts))
        finite = values[np.isfinite(values)]
        enough = len(finite) > DRAWS / 2 and math.isfinite(middle)
        low, high = np.quantile(finite, [0.1587, 0.8413]) if enough else (math.nan, math.nan)
        # chance comes on top of noise, whatever two sets of draws say
        spreads.append(max([float(high - low) / 2, *spreads]))
    ends = [
        [float(from_line(np.array(middle + sign * Z * spread))) for sign in (-1, 1)]
        for spread in spreads
    ]
    noise, both = ((high - low) / (2 * Z) for low, high in ends)
    return NoisyEstimate(
        value=float(from_line(np.array(middle))),
        source=Interval(low=ends[0][0], high=ends[0][1]),
        population=Interval(low=ends[1][0], high=ends[1][1]),
        noise=noise,
        sampling=math.sqrt(max(both**2 - noise**2, 0.0)),
    )
