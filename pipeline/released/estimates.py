"""The folder `estimates/` of a release: each figure that was counted, in the extract, in the source
and in the population, with intervals that hold the noise; and what the card says of them.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.catalog import Estimates, Patients
from pipeline.estimates.curves import CurveReading, curve_readings
from pipeline.estimates.extract import counts_of
from pipeline.estimates.fidelity import KINDS, distances
from pipeline.estimates.meter import Reading, readings, thresholds
from pipeline.estimates.shares import size
from pipeline.estimates.values import Evidence, NoisyEstimate, Threshold
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.released.evidence_facts import EvidenceFacts
from pipeline.schema.patient_log import read_patient_log
from pipeline.schema.values import Schema

NUMBERS = (
    "extract",
    "estimate",
    "source_low",
    "source_high",
    "population_low",
    "population_high",
    "evidence",
)


def write_estimates(
    schema: Schema, model: Path, synthetic: Patients, out: Estimates
) -> EvidenceFacts | None:
    """`shares.csv`, and `survival.csv` where survival was counted. None, and no folder, for a model
    of before its counts were published.
    """
    synthesizer = Synthesizer.load(model)
    tables = synthesizer.noisy_counts
    if not tables:
        return None
    log = read_patient_log(synthetic.patients, synthetic.events)
    counts = counts_of(log, tables, synthesizer.pathway)
    cells = list(readings(schema, tables, counts))
    curves = curve_readings(schema, tables, counts)
    out.root.mkdir()
    _write(out.shares, ("table", "cell"), map(_share_line, cells))
    if curves:
        _write(out.survival, ("column", "group", "figure"), map(_curve_line, curves))
    return EvidenceFacts(
        thresholds=_thresholds(tables, len(log.patients)),
        cells=_tally(cells),
        curves=_tally(curves),
        distances=distances(tables, counts),
    )


def _thresholds(tables: Sequence[NoisyTable], rows: int) -> dict[str, list[Threshold]]:
    """By kind, in patients of an extract of so many rows."""
    per_patient = rows / max(size(tables).patients, 1.0)
    by_kind = {}
    for kind, prefixes in KINDS.items():
        some = [table for table in tables if table.name.startswith(prefixes)]
        if some:
            by_kind[kind] = [
                Threshold(
                    table=t.table,
                    clear=math.ceil(t.clear * per_patient),
                    close=math.ceil(t.close * per_patient),
                )
                for t in thresholds(some)
            ]
    return by_kind


def _tally(rows: Iterable[Reading | CurveReading]) -> dict[str, int]:
    counts = Counter(row.evidence for row in rows)
    return {sign.value: counts[sign] for sign in Evidence}


def _share_line(reading: Reading) -> list[str]:
    names = (" x ".join(reading.table), " x ".join(reading.cell))
    return [*names, *_numbers(reading.extract, reading.estimate, reading.evidence)]


def _curve_line(reading: CurveReading) -> list[str]:
    figure = (
        f"hazard ratio against {reading.against}"
        if reading.against
        else f"alive at the beginning of day {reading.day}"
    )
    names = (reading.column, reading.group, figure)
    return [*names, *_numbers(reading.extract, reading.estimate, reading.evidence)]


def _numbers(figure: float, estimate: NoisyEstimate, evidence: Evidence) -> list[str]:
    values = (
        figure,
        estimate.value,
        estimate.source.low,
        estimate.source.high,
        estimate.population.low,
        estimate.population.high,
    )
    return [*("" if math.isnan(value) else f"{value:.4g}" for value in values), evidence.value]


def _write(path: Path, names: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*names, *NUMBERS))
        writer.writerows(lines)
