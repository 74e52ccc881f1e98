"""Synthetic beside holdout, and beside the floor: real training patients against the same holdout.
Numbers and report sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.evaluation import fidelity, pathways, plots, report
from pipeline.schema.values import Column, EventLog, Schema

YEARS = np.linspace(0, 6, 73)
MAX_PLOTS = 24


@dataclass(frozen=True)
class Sample:
    """Patients and, where the dataset has them, their events."""

    patients: pl.DataFrame
    events: pl.DataFrame | None

    def head(self, n: int, seed: int = 0) -> Sample:
        """At most n patients, drawn with a public seed."""
        if len(self.patients) <= n:
            return self
        patients = self.patients.sample(n, seed=seed)
        events = (
            self.events.join(patients.select("patient_id"), on="patient_id", how="semi")
            if self.events is not None
            else None
        )
        return Sample(patients, events)


def stratum(schema: Schema) -> str | None:
    """The static column by which survival is shown: the last declared stratum, which is the finest
    clinical one.
    """
    return schema.strata[-1] if schema.strata else None


def figures(schema: Schema, holdout: Sample, synthetic: Sample, training: Sample) -> dict[str, Any]:
    """All numbers: for each kind, the synthetic rows against the holdout, and the floor beside it.
    Empty where the holdout is empty.
    """
    if holdout.patients.is_empty():
        return {}
    floor = training.head(max(1, len(synthetic.patients)))
    numbers: dict[str, Any] = {
        "static": {
            name: fidelity.distances(holdout.patients, other.patients, schema.patients)
            for name, other in (("synthetic", synthetic), ("floor", floor))
        }
    }
    numbers["sdmetrics"] = {
        name: fidelity.sdmetrics_reports(holdout.patients, other.patients, schema.patients)
        for name, other in (("synthetic", synthetic), ("floor", floor))
    }
    if schema.events is not None and holdout.events is not None:
        real = (holdout.patients, holdout.events)
        numbers["pathways"] = {
            name: pathways.figures(
                real, (other.patients, _events(other)), schema.events, stratum(schema)
            )
            for name, other in (("synthetic", synthetic), ("floor", floor))
        }
        numbers["waiting_days"] = {
            kind: {
                name: pathways.quantiles(pathways.waiting_days(_events(other), schema.events, kind))
                for name, other in (("real", holdout), ("synthetic", synthetic))
            }
            for kind in schema.events.types
            if kind != schema.events.anchor
        }
    return numbers


def _events(sample: Sample) -> pl.DataFrame:
    assert sample.events is not None
    return sample.events


def sections(
    schema: Schema, numbers: Mapping[str, Any], holdout: Sample, synthetic: Sample
) -> dict[str, str]:
    """Headings and HTML of the report, from the numbers and the two samples."""
    if not numbers:
        return {"Figures": "<p>There is no holdout to compare with.</p>"}
    note = (
        "<p class='soft'>Floor: as many real training patients against the same holdout. Lower"
        " distances are better; scores near 1 are.</p>"
    )
    made = {
        "Static columns": note + _static_table(numbers),
        "Distributions": report.plots(_distribution_plots(schema.patients, holdout, synthetic)),
    }
    if "pathways" in numbers and schema.events is not None:
        made["Pathways"] = note + _pathway_table(numbers)
        made["Survival"] = report.plots([_survival_plot(schema, schema.events, holdout, synthetic)])
        made["Waiting times"] = _waiting_table(numbers)
    return made


def _static_table(numbers: Mapping[str, Any]) -> str:
    rows = [
        ["mean 1-way TVD", *[numbers["static"][k]["one_way_tvd"] for k in ("synthetic", "floor")]],
        ["mean 2-way TVD", *[numbers["static"][k]["two_way_tvd"] for k in ("synthetic", "floor")]],
    ]
    rows += [
        [f"SDMetrics {name}", value, numbers["sdmetrics"]["floor"].get(name, float("nan"))]
        for name, value in numbers["sdmetrics"]["synthetic"].items()
    ]
    return report.table(("figure", "synthetic", "floor"), rows)


def _pathway_table(numbers: Mapping[str, Any]) -> str:
    both = numbers["pathways"]
    rows = [
        [name.replace("_", " "), value, both["floor"][name]]
        for name, value in both["synthetic"].items()
    ]
    return report.table(("figure", "synthetic", "floor"), rows)


def _waiting_table(numbers: Mapping[str, Any]) -> str:
    rows = [
        [kind, *[_range(pair[name]) for name in ("real", "synthetic")]]
        for kind, pair in numbers["waiting_days"].items()
    ]
    return report.table(
        ("days from day 0 to the first", "real (holdout): median [quartiles]", "synthetic"), rows
    )


def _range(q: Mapping[str, float]) -> str:
    return f"{q['median']:.0f} [{q['q25']:.0f}, {q['q75']:.0f}]" if q["n"] else "–"


def _distribution_plots(
    columns: Mapping[str, Column], holdout: Sample, synthetic: Sample
) -> list[str]:
    drawn = []
    for name, column in list(columns.items())[:MAX_PLOTS]:
        real, other = holdout.patients[name], synthetic.patients[name]
        if column.is_categorical:
            names = [*column.categories, *(["missing"] if column.nullable else [])]
            drawn.append(
                plots.bars(name, names, *[_shares(values, names) for values in (real, other)])
            )
        else:
            drawn.append(
                plots.histogram(
                    name,
                    column.unit or "",
                    *[_numbers(values) for values in (real, other)],
                    integer=column.kind == "continuous" and column.decimals == 0,
                )
            )
    return drawn


def _shares(values: pl.Series, names: list[str]) -> list[float]:
    counts = dict(values.cast(pl.String).fill_null("missing").value_counts().iter_rows())
    return [counts.get(name, 0) / max(1, len(values)) for name in names]


def _numbers(values: pl.Series) -> np.ndarray:
    known = values.drop_nulls()
    return (
        (known.cast(pl.Int32) / 365.25 + 1970 if known.dtype == pl.Date else known)
        .cast(pl.Float64)
        .to_numpy()
    )


def _survival_plot(schema: Schema, log: EventLog, holdout: Sample, synthetic: Sample) -> str:
    by = stratum(schema)
    real, other = (
        pathways.kaplan_meier(
            pathways.survival(s.patients, _events(s), log, by), YEARS * pathways.DAYS_PER_YEAR
        )
        for s in (holdout, synthetic)
    )
    return plots.survival(
        f"{log.terminal[0].lower()}-free, by {by or 'nothing'}", YEARS, real, other
    )
