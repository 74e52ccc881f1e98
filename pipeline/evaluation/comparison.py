"""Synthetic beside holdout, and beside the floor: real training patients against the same holdout.
Numbers and report sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pipeline.evaluation import fidelity, pathways, plots, report
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Column, EventLog, Schema

YEARS = np.linspace(0, 6, 73)
MAX_PLOTS = 24


def sample(log: PatientLog, n: int, seed: int = 0) -> PatientLog:
    """At most n patients, drawn with a public seed."""
    if len(log.patients) <= n:
        return log
    return log.of(log.patients.sample(n, seed=seed))


def stratum(schema: Schema) -> str | None:
    """The static column by which survival is shown: the last declared stratum, which is the finest
    clinical one.
    """
    return schema.strata[-1] if schema.strata else None


def figures(
    schema: Schema, holdout: PatientLog, synthetic: PatientLog, training: PatientLog
) -> dict[str, Any]:
    """All numbers: for each kind, the synthetic rows against the holdout, and the floor beside it.
    Empty where the holdout is empty.
    """
    if holdout.patients.is_empty():
        return {}
    floor = sample(training, max(1, len(synthetic.patients)))
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
        numbers["pathways"] = {
            name: pathways.figures(holdout, other, schema.events, stratum(schema))
            for name, other in (("synthetic", synthetic), ("floor", floor))
        }
        numbers["waiting_days"] = {
            kind: {
                name: pathways.quantiles(pathways.waiting_days(other.pathways, schema.events, kind))
                for name, other in (("real", holdout), ("synthetic", synthetic))
            }
            for kind in schema.events.types
            if kind != schema.events.anchor
        }
    return numbers


def sections(
    schema: Schema, numbers: Mapping[str, Any], holdout: PatientLog, synthetic: PatientLog
) -> dict[str, str]:
    """Headings and HTML of the report, from the numbers and both logs."""
    if not numbers:
        return {"Figures": "<p>There is no holdout to compare with.</p>"}
    note = (
        "<p class='soft'>Floor: as many real training patients against the same holdout. Lower"
        " distances are better; scores near 1 are.</p>"
    )
    html = {
        "Static columns": note + _static_table(numbers),
        "Distributions": report.plots(_distribution_plots(schema.patients, holdout, synthetic)),
    }
    if "pathways" in numbers and schema.events is not None:
        html["Pathways"] = note + _pathway_table(numbers)
        html["Survival"] = report.plots([_survival_plot(schema, schema.events, holdout, synthetic)])
        html["Waiting times"] = _waiting_table(numbers)
    return html


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
    columns: Mapping[str, Column], holdout: PatientLog, synthetic: PatientLog
) -> list[str]:
    pictures = []
    for name, column in list(columns.items())[:MAX_PLOTS]:
        real, other = holdout.patients[name], synthetic.patients[name]
        if column.is_categorical:
            names = [*column.categories, *(["missing"] if column.nullable else [])]
            pictures.append(
                plots.bars(name, names, *[_shares(values, names) for values in (real, other)])
            )
        else:
            pictures.append(
                plots.histogram(
                    name,
                    column.unit or "",
                    *[_numbers(values) for values in (real, other)],
                    integer=column.kind == "continuous" and column.decimals == 0,
                )
            )
    return pictures


def _shares(values: pl.Series, names: list[str]) -> list[float]:
    counts = dict(values.cast(pl.String).fill_null("missing").value_counts().iter_rows())
    return [counts.get(name, 0) / max(1, len(values)) for name in names]


def _numbers(values: pl.Series) -> np.ndarray:
    present = values.drop_nulls()
    return (
        (present.cast(pl.Int32) / 365.25 + 1970 if present.dtype == pl.Date else present)
        .cast(pl.Float64)
        .to_numpy()
    )


def _survival_plot(
    schema: Schema, log: EventLog, holdout: PatientLog, synthetic: PatientLog
) -> str:
    by = stratum(schema)
    real, other = (
        pathways.kaplan_meier(pathways.survival(patients, log, by), YEARS * pathways.DAYS_PER_YEAR)
        for patients in (holdout, synthetic)
    )
    return plots.survival(
        f"{pathways.event_name(log)}-free, by {by or 'nothing'}", YEARS, real, other
    )
