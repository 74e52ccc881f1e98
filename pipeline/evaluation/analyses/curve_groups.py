"""Kaplan-Meier curves of both tables in the groups that survival analyses report: everybody, each
stratum that the declaration names, site by stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import polars as pl

from pipeline.evaluation.analyses import words
from pipeline.evaluation.analyses.comparison import MIN_EVENTS, TOP, both, strata
from pipeline.evaluation.analyses.survival import Curve, curve, outcomes
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

EVERYBODY = "All patients"
MAX_CROSS = 30  # combinations of the first two strata
Row = tuple[str, Curve, Curve]

_groups: WeakKeyDictionary[PatientLog, tuple[PatientLog, list[Row]]] = WeakKeyDictionary()


def curve_groups(schema: Schema, real: PatientLog, synthetic: PatientLog) -> list[Row]:
    """(words, real, synthetic) of each group of 200 or more patients and 30 or more deaths in the
    real table; made once for a pair of logs.
    """
    pair = _groups.get(real)
    if pair is None or pair[0] is not synthetic:
        pair = (synthetic, list(_curves(schema, real, synthetic)))
        _groups[real] = pair
    return pair[1]


def _curves(schema: Schema, real: PatientLog, synthetic: PatientLog) -> Iterator[Row]:
    frames = both(
        lambda log: outcomes(schema, log).with_columns(everybody=pl.lit(EVERYBODY)),
        (real, synthetic),
    )
    columns: list[tuple[list[str], int]] = [(["everybody"], 1)]
    columns += [([name], TOP) for name in schema.strata]
    if len(schema.strata) > 1:
        columns.append((list(schema.strata[:2]), MAX_CROSS))
    for names, n in columns:
        for values, parts in strata(frames, names, n):
            first = curve(parts[0])
            if first.deaths >= MIN_EVENTS:
                label = ", ".join(
                    value if name == "everybody" else words.value(schema, name, value)
                    for name, value in zip(names, values, strict=True)
                )
                yield label, first, curve(parts[1])
