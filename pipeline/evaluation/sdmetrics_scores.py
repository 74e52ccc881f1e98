"""What SDMetrics has to say of two logs: its quality and diagnostic reports of one table, of
patients with their events, and its scores of sequences.

Of sequences SDMetrics 0.32 has three scores that need no model: lengths, a number's statistics per
sequence, and its steps from row to row. All are about numbers; it offers nothing for the order of
types and codes, which n-grams stand for here (pathways.ngram_tvd). Its timeseries detection and
efficacy scores train networks and are left out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
import polars as pl
from sdmetrics.column_pairs import InterRowMSAS, StatisticMSAS
from sdmetrics.single_column import SequenceLengthSimilarity

from pipeline.evaluation import fidelity
from pipeline.evaluation.metadata import event_columns, two_frames, two_tables
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, Schema

STATISTICS = ("mean", "median", "std", "min", "max")  # all that StatisticMSAS has


def table_scores(real: PatientLog, other: PatientLog, schema: Schema) -> dict[str, float]:
    """Of static columns: both reports and their properties, 0 to 1."""
    return fidelity.sdmetrics_reports(real.patients, other.patients, schema.patients)


def two_table_scores(real: PatientLog, other: PatientLog, schema: Schema) -> dict[str, float]:
    """Of patients and events with their relationship: both reports and their properties."""
    columns = _used(event_columns(schema), real.pathways, other.pathways)
    frames = [two_frames(schema, log, columns) for log in (real, other)]
    return fidelity.report_scores(frames, two_tables(schema, columns))


def _used(
    columns: Mapping[str, Column], real: pl.DataFrame, other: pl.DataFrame
) -> dict[str, Column]:
    """Without those that are all missing in either log: SDMetrics has no score for them."""
    return {
        name: column
        for name, column in columns.items()
        if all(frame[name].null_count() < len(frame) for frame in (real, other))
    }


def sequence_scores(real: PatientLog, other: PatientLog, schema: Schema) -> dict[str, float]:
    """Lengths; statistics and steps of the days, means over statistics; each 0 to 1."""
    frames = [log.pathways.sort(ID, "seq") for log in (real, other)]
    if any(frame.is_empty() for frame in frames):
        return dict.fromkeys(("lengths", "statistics of days", "steps between days"), math.nan)
    keys = [frame[ID].to_pandas() for frame in frames]
    days = [frame["day"].cast(pl.Float64).to_pandas() for frame in frames]
    pairs = list(zip(keys, days, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pathways of one event have no steps
        statistics = [StatisticMSAS.compute(*pairs, statistic=name) for name in STATISTICS]
        steps = InterRowMSAS.compute(*pairs)
    return {
        "lengths": float(SequenceLengthSimilarity.compute(*keys)),
        "statistics of days": float(np.nanmean(statistics)),
        "steps between days": float(steps),
    }
