"""Singling out: predicates taken from the synthetic table that hold for exactly one real patient.

After Giomi and others (2023), "A unified framework for quantifying privacy risk in synthetic data",
section 5.1, and Cohen and Nissim (2020). Written anew, because Anonymeter 1.1.0's evaluator

- fails on dates (a date is compared with its text) and goes on for ten million attempts where
  hardly any predicate singles out, as with constant or all-missing columns;
- divides by the attacks that were asked for, not by those it could make: an underestimate on small
  tables, which it only logs;
- drops equal rows before it counts, so that two people who are alike count as one who is singled
  out;
- corrects for a smaller control table by a fitted curve, which fails where few predicates hold.

Here both tables are brought to one size exactly: a predicate that holds for m of n patients holds
for one of s patients drawn from them with a hypergeometric chance, and s is the size of the smaller
table. So no rows are thrown away, and no curve is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import hypergeom

from pipeline.evaluation.attacks.coincidence import beside_chance
from pipeline.evaluation.attacks.copies import row_hashes
from pipeline.evaluation.attacks.rows import Rows, Tables, subsample
from pipeline.evaluation.attacks.trials import Trial, Z, beyond, of_patients, wilson
from pipeline.evaluation.findings import Estimate

MAX_ATTACKS = 2_000  # predicates over few columns
MAX_WHOLE = 20_000  # predicates over all columns: copies of a few patients are rare among them
TRIES = 5  # candidates per predicate
COLUMNS = 3  # as in the paper
SHUFFLES = 4_000
CHUNK = 200  # shuffles at once
MAX_MATCHES = 500  # a predicate that holds for more real patients than this singles out nobody
SHOWS = (
    "A predicate made from a synthetic row holds for exactly one real patient, more often among"
    " those who were trained on than among others: the table tells of a person."
)
CANNOT_SHOW = (
    "A low figure speaks of these predicates only: who knows a patient's dates or rare codes may"
    " find better ones."
)

# (column's place, "=", "<=", ">=" or "missing", number)
Predicate = tuple[tuple[int, str, float], ...]


def trials(tables: Tables, random: np.random.Generator) -> list[Trial]:
    """Three trials: predicates of one column, of COLUMNS columns, and of all columns."""
    few = min(COLUMNS, len(tables.synthetic.names))
    return [
        _trial("singling out, one column", _univariate(tables.synthetic, random), tables, random),
        _trial(
            f"singling out, {COLUMNS} columns",
            _multivariate(tables.synthetic, few, MAX_ATTACKS, random),
            tables,
            random,
        ),
        _whole(tables, random),
    ]


def _univariate(rows: Rows, random: np.random.Generator) -> list[Predicate]:
    """Values that one synthetic row has, the largest and the smallest number, a missing value that
    stands alone: those that hold for exactly one synthetic row, at most MAX_ATTACKS.
    """
    candidates: list[Predicate] = []
    for place, (values, category) in enumerate(zip(rows.columns, rows.is_category, strict=True)):
        gaps = np.isnan(values)
        present, counts = np.unique(values[~gaps], return_counts=True)
        candidates += [((place, "=", float(value)),) for value in present[counts == 1]]
        if not category and len(present):
            candidates += [
                ((place, "<=", float(present[0])),),
                ((place, ">=", float(present[-1])),),
            ]
        if gaps.sum() == 1:
            candidates.append(((place, "missing", 0.0),))
    chosen = [candidates[k] for k in subsample(len(candidates), MAX_ATTACKS, random)]
    return [predicate for predicate in chosen if len(matches(predicate, rows)) == 1]


def _multivariate(
    rows: Rows, n_columns: int, most: int, random: np.random.Generator
) -> list[Predicate]:
    """Conjunctions over columns drawn at random, from synthetic rows drawn at random: a category or
    a gap as it is, a number towards its nearer end. The first `most` that hold for exactly one
    synthetic row, out of TRIES times as many.
    """
    medians = [_median(values) for values in rows.columns]
    shares = [_shares(*pair) for pair in zip(rows.columns, rows.is_category, strict=True)]
    collection: dict[Predicate, None] = {}
    whole = n_columns == len(rows.names)
    # one predicate over all columns per row, many over few
    tries = TRIES * min(most, 2 * len(rows))
    places = subsample(len(rows), tries, random) if whole else random.integers(0, len(rows), tries)
    for row in places:
        columns = (
            np.arange(n_columns)
            if whole
            else random.choice(len(rows.names), n_columns, replace=False)
        )
        # the rarest value first: later columns look at few rows
        ordered = sorted(map(int, columns), key=lambda place: shares[place][row])
        predicate = tuple(_part(rows, place, int(row), medians[place]) for place in ordered)
        if predicate not in collection and len(matches(predicate, rows)) == 1:
            collection[predicate] = None
        if len(collection) == most:
            break
    return list(collection)


def _median(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else 0.0


def _shares(values: np.ndarray, is_category: bool) -> np.ndarray:
    """float [n]: for what share of rows a row's part of a predicate holds; of numbers, about."""
    if not is_category:
        gaps = np.isnan(values)
        return np.where(gaps, gaps.mean(), 0.5)
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[codes] / max(1, len(values))


def _part(rows: Rows, place: int, row: int, median: float) -> tuple[int, str, float]:
    value = float(rows.columns[place][row])
    if rows.is_category[place]:
        return place, "=", value
    if np.isnan(value):
        return place, "missing", 0.0
    return place, ">=" if value > median else "<=", value


def matches(predicate: Predicate, rows: Rows) -> np.ndarray:
    """Indices of the rows for which it holds."""
    index: np.ndarray | None = None
    for place, word, value in predicate:
        values = rows.columns[place] if index is None else rows.columns[place][index]
        if word == "=":
            holds = values == value
        elif word == "missing":
            holds = np.isnan(values)
        else:
            holds = values >= value if word == ">=" else values <= value
        index = np.flatnonzero(holds) if index is None else index[holds]
        if len(index) == 0:
            break
    return np.zeros(0, np.int64) if index is None else index


def _whole(tables: Tables, random: np.random.Generator) -> Trial:
    """Predicates over all columns hold for nobody, but for a patient of whom the synthetic table
    has a copy. So this trial counts patients, not predicates: rate and control are the shares of
    training and holdout patients for whom alone, of both, some predicate holds. Tested against the
    holdout and, as a predicate that its copy satisfies singles a patient out, against coincidence.
    """
    predicates = _multivariate(tables.synthetic, len(tables.synthetic.names), MAX_WHOLE, random)
    holds = _incidence(predicates, tables)
    alone = np.asarray(holds.sum(axis=1)).ravel() == 1
    people = np.zeros(holds.shape[1], bool)
    people[holds[np.flatnonzero(alone)].indices] = True
    trial = of_patients(
        "singling out, all columns",
        people[: len(tables.train)],
        people[len(tables.train) :],
        shows=SHOWS,
        cannot_show=CANNOT_SHOW,
    )
    train, _, synthetic = row_hashes(tables)
    return replace(beside_chance(trial, train, synthetic), attempts=len(predicates))


def _trial(
    attack: str, predicates: Sequence[Predicate], tables: Tables, random: np.random.Generator
) -> Trial:
    n, n_control = len(tables.train), len(tables.holdout)
    size = min(n, n_control)
    holds = _incidence(predicates, tables)
    every = np.asarray(holds.sum(axis=1), dtype=np.int64).ravel()
    of_train = np.asarray(holds[:, :n].sum(axis=1), dtype=np.int64).ravel()
    chance, control_chance = (
        hypergeom.pmf(1, total, np.arange(MAX_MATCHES + 1).clip(max=total), size)
        for total in (n, n_control)
    )
    rate = wilson(float(chance[of_train].sum()), len(predicates))
    control = wilson(float(control_chance[every - of_train].sum()), len(predicates))
    observed = float((chance[of_train] - control_chance[every - of_train]).sum())
    shuffles = np.concatenate(
        [
            (chance[part] - control_chance[every[:, None] - part]).sum(axis=0)
            for part in _shuffled(holds, n / (n + n_control), random)
        ]
    )
    advantage = beyond(rate, control)
    if predicates:
        # predicates may point at the same patient: shuffles know that, Wilson's interval does not
        half = Z * float(shuffles.std()) / len(predicates) / (1 - min(control.value, 0.99))
        advantage = Estimate(
            value=advantage.value,
            low=min(advantage.low, advantage.value - half),
            high=max(advantage.high, advantage.value + half),
            n=advantage.n,
        )
    return Trial(
        attack=attack,
        rate=rate,
        control=control,
        advantage=advantage,
        p=float((1 + (shuffles >= observed - 1e-9).sum()) / (1 + len(shuffles)))
        if predicates
        else 1.0,
        shows=SHOWS,
        cannot_show=CANNOT_SHOW,
        attempts=len(predicates),
    )


def _incidence(predicates: Sequence[Predicate], tables: Tables) -> csr_matrix:
    """[predicates, training and holdout patients]: 1 where it holds; empty rows for predicates that
    hold for more than MAX_MATCHES.
    """
    columns, ends = [], [0]
    for predicate in predicates:
        both = np.concatenate(
            [
                matches(predicate, tables.train),
                matches(predicate, tables.holdout) + len(tables.train),
            ]
        )
        columns.append(both if len(both) <= MAX_MATCHES else both[:0])
        ends.append(ends[-1] + len(columns[-1]))
    indices = np.concatenate([*columns, np.zeros(0, np.int64)])
    shape = (len(predicates), len(tables.train) + len(tables.holdout))
    return csr_matrix((np.ones(len(indices), np.float32), indices, np.array(ends)), shape=shape)


def _shuffled(holds: csr_matrix, share: float, random: np.random.Generator) -> Iterator[np.ndarray]:
    """int64 [predicates, CHUNK]: for how many `training` patients each holds, if it were drawn anew
    who was trained on. Whoever no predicate holds for makes no difference.
    """
    active = holds[:, np.flatnonzero(np.asarray(holds.sum(axis=0)).ravel())]
    for _ in range(SHUFFLES // CHUNK):
        members = (random.random((active.shape[1], CHUNK)) < share).astype(np.float32)
        yield np.asarray(active @ members).astype(np.int64)
