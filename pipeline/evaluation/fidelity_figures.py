"""How close a synthetic table is to the holdout, between two bounds: a fresh real sample (the best
that can be) and independent columns (what single columns alone give).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np

from pipeline.evaluation import fidelity, pathways, sdmetrics_scores, table_score
from pipeline.evaluation.bounds import (
    SEED,
    Cast,
    FidelityFigure,
    FidelityFigures,
    figure,
    shuffled_columns,
    some,
)
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

MAX_ROWS = 50_000  # patients of each table, for distances
MAX_SDMETRICS = 5_000  # patients of each table, for SDMetrics
MAX_DISCRIMINATOR = 10_000  # patients of each kind
TRIPLES = 200  # of columns, at most, drawn with a public seed
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the training rows
DRAWS = 3  # subsamples per share
MIN_SUBSAMPLE = 5  # rows

Codes = Mapping[str, np.ndarray]
Progress = Callable[[str], None]


def fidelity_figures(
    schema: Schema,
    train: PatientLog,
    holdout: PatientLog,
    synthetic: PatientLog,
    progress: Progress,
) -> FidelityFigures:
    """All figures against the holdout; none where a table is empty. Restricted, as every figure
    that patients' rows enter.
    """
    start = time.perf_counter()
    rows = min(len(train.patients), len(synthetic.patients), MAX_ROWS)
    if rows == 0 or holdout.patients.is_empty():
        return FidelityFigures(
            figures=(), rows=0, holdout_rows=0, seconds=0.0, sdmetrics_seconds=0.0
        )
    best = some(train, rows)
    cast = Cast(
        schema, some(holdout, MAX_ROWS), some(synthetic, rows), best, shuffled_columns(best)
    )
    figures = _distances(cast, progress)
    figures += _orders(cast)
    figures.append(_discriminator(cast.of(MAX_DISCRIMINATOR)))
    progress("fidelity: discriminator")
    before = time.perf_counter()
    figures += _sdmetrics(cast.of(MAX_SDMETRICS), progress)
    end = time.perf_counter()
    return FidelityFigures(
        figures=tuple(figures),
        rows=rows,
        holdout_rows=len(cast.holdout.patients),
        seconds=end - start,
        sdmetrics_seconds=end - before,
    )


def _distances(cast: Cast, progress: Progress) -> list[FidelityFigure]:
    """TVD of columns, pairs and triples, and the equivalent subsample."""
    columns = {
        name: column
        for name, column in cast.schema.patients.items()
        if column.is_categorical or column.is_numeric
    }
    if not columns:
        return []
    yardstick = cast.best.patients
    holdout, *others = (
        fidelity.binned(yardstick, log.patients, columns)[1] for log in (cast.holdout, *cast.others)
    )
    one_way = [_mean([fidelity.tvd(holdout[x], other[x]) for x in columns]) for other in others]
    two_way = [_mean(fidelity.two_way(holdout, other)) for other in others]
    progress("fidelity: distances of columns and pairs")
    triples = _triples(list(columns))
    three_way = [_mean([_tvd_of(holdout, other, x) for x in triples]) for other in others]
    progress("fidelity: distances of triples")
    bins = f"numbers in {fidelity.BINS} quantile bins"
    figures = [
        figure("distance of columns (1-way TVD)", one_way, note=bins),
        figure("distance of pairs of columns (2-way TVD)", two_way, note=bins),
        figure(
            "distance of triples of columns (3-way TVD)",
            three_way,
            note=f"{bins}; {len(triples)} triples drawn at random",
        ),
        equivalent_subsample(holdout, others[1], two_way),
    ]
    progress("fidelity: equivalent subsample")
    return figures


def _mean(values: list[float]) -> float:
    present = [value for value in values if not math.isnan(value)]
    return float(np.mean(present)) if present else math.nan


def _triples(names: list[str]) -> list[tuple[str, ...]]:
    every: list[tuple[str, ...]] = list(combinations(names, 3))
    if len(every) <= TRIPLES:
        return every
    chosen = np.random.default_rng(SEED).choice(len(every), TRIPLES, replace=False)
    return [every[k] for k in sorted(chosen)]


def _tvd_of(first: Codes, second: Codes, names: tuple[str, ...]) -> float:
    """TVD of the joint values of some columns: codes of what occurs, as their product may be
    large.
    """
    n = len(first[names[0]])
    joint = np.zeros(n + len(second[names[0]]), np.int64)
    for name in names:
        codes = np.concatenate([first[name], second[name]]).astype(np.int64)
        joint = joint * (int(codes.max(initial=0)) + 1) + codes
    dense = np.unique(joint, return_inverse=True)[1]
    return fidelity.tvd(dense[:n], dense[n:])


def equivalent_subsample(holdout: Codes, train: Codes, distances: list[float]) -> FidelityFigure:
    """As close to the holdout as a subsample of k% of the real training rows, by mean 2-way TVD:
    k for each distance, by interpolation over SHARES in the logarithm (the equivalent subsample of
    SDNist, Task and others 2023).
    """
    random = np.random.default_rng(SEED)
    n = len(next(iter(train.values())))
    sizes = sorted({size for share in SHARES if (size := round(share * n)) >= MIN_SUBSAMPLE} | {n})
    curve = []
    for size in sizes:
        draws = [random.choice(n, size, replace=False) for _ in range(DRAWS if size < n else 1)]
        samples = [{name: codes[rows] for name, codes in train.items()} for rows in draws]
        curve.append(_mean([_mean(fidelity.two_way(holdout, sample)) for sample in samples]))
    lowest = np.minimum.accumulate(curve)  # chance may bend it
    percents = 100 * np.array(sizes) / n
    values = [
        float(np.exp(np.interp(-distance, -lowest, np.log(percents))))
        if not math.isnan(distance)
        else math.nan
        for distance in distances
    ]
    return figure(
        "as close as a real sample of so many percent of the training patients",
        values,
        is_higher_better=True,
        note=f"by pairs of columns; {percents[0]:.2g}% stands for that or less",
    )


def _orders(cast: Cast) -> list[FidelityFigure]:
    """N-grams of types and codes; nothing for a table."""
    if cast.schema.events is None or any(
        log.events is None for log in (cast.holdout, *cast.others)
    ):
        return []
    return [
        figure(
            f"distance of {words} of events ({n}-gram TVD)",
            [pathways.ngram_tvd(cast.holdout.pathways, log.pathways, n) for log in cast.others],
        )
        for n, words in ((1, "types and codes"), (2, "pairs in order"), (3, "triples in order"))
    ]


def _discriminator(cast: Cast) -> FidelityFigure:
    """As many rows of each kind."""
    columns = {
        name: column
        for name, column in cast.schema.patients.items()
        if (column.is_categorical or column.is_numeric)
        and cast.holdout.patients[name].drop_nulls().n_unique() > 1
    }
    size = min(len(log.patients) for log in (cast.holdout, *cast.others))
    logs = [some(log, size).patients for log in (cast.holdout, *cast.others)]
    values = [math.nan] * 3
    if size >= 10 and columns:  # five folds of both kinds
        values = [table_score.detection(logs[0], other, columns) for other in logs[1:]]
    return figure(
        "AUC of a model that tells them from real patients",
        values,
        note=f".5: it cannot; gradient boosting on static columns, five folds, {size} of each",
    )


def _sdmetrics(cast: Cast, progress: Progress) -> list[FidelityFigure]:
    parts = [("SDMetrics, one table", sdmetrics_scores.table_scores)]
    if cast.schema.events is not None and all(
        log.events is not None for log in (cast.holdout, *cast.others)
    ):
        parts += [
            ("SDMetrics, patients and events", sdmetrics_scores.two_table_scores),
            ("SDMetrics, sequences", sdmetrics_scores.sequence_scores),
        ]
    figures = []
    for words, score in parts:
        scores = [score(cast.holdout, log, cast.schema) for log in cast.others]
        figures += [
            figure(
                f"{words}, {name}",
                [one.get(name, math.nan) for one in scores],
                is_higher_better=True,
                note=f"at most {MAX_SDMETRICS} patients of each",
            )
            for name in scores[0]
            # a property that a dataset has nothing for
            if not all(math.isnan(one.get(name, math.nan)) for one in scores)
        ]
        progress(f"fidelity: {words}")
    return figures
