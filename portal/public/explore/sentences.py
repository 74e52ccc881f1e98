"""What figures say in words: for people who cannot see a plot, and below each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.schema.words import MISSING, event_title, labels
from portal.public.explore.dimensions import Dimension
from portal.public.explore.pathway_facts import censoring, is_survival
from portal.public.explore.state import Filter
from portal.public.explore.table import ExploreTable

NAMES = {"a": "Cohort A", "b": "Cohort B"}
METER = {
    "reliable": "within a tenth of the source's figure, in at least 95 of 100 cases",
    "indicative": "clear of the privacy noise, but may be off by more than a tenth",
    "noise": "not clear of the privacy noise: read nothing into it",
    "unmeasured": "no published count has these columns together: the model's guess",
}
MOST_NAMED = 6  # values of a filter in words


def cohort_words(filters: Mapping[str, Filter], table: ExploreTable) -> str:
    """Who is in a cohort: "Tumour group Breast or Lung; age at diagnosis 40 to 60"."""
    if not filters:
        return "all synthetic patients"
    parts = []
    for name, one in filters.items():
        dimension = table.dimensions[name]
        if one.cells is not None:
            words = [dimension.labels[cell] for cell in sorted(one.cells)]
            more = len(words) - MOST_NAMED
            words = [*words[:MOST_NAMED], f"{more} more"] if more > 0 else words
            parts.append(f"{dimension.title}: {' or '.join(words)}")
        else:
            parts.append(f"{dimension.title}: {_range(dimension, one.low, one.high)}")
    return "; ".join(parts)


def _range(dimension: Dimension, low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {dimension.text(high or 0.0)}"
    if high is None:
        return f"at least {dimension.text(low)}"
    return f"{dimension.text(low)} to {dimension.text(high)}"


def column_summary(dimension: Dimension, counts: dict[str, list[int]]) -> str:
    """The largest cells of each cohort."""
    parts = []
    for side, some in counts.items():
        size = max(sum(some), 1)
        largest = sorted(range(len(some)), key=lambda cell: -some[cell])[:3]
        words = [f"{dimension.labels[c]} {some[c] / size:.0%}" for c in largest if some[c]]
        parts.append(f"{NAMES[side]}: most often {', '.join(words) or 'nobody'}.")
    return " ".join(parts)


def survival_table(table: ExploreTable, figures: dict[str, Any]) -> dict[str, Any]:
    """Rows of a table: each curve with its share alive and its patients at risk at each tick."""
    survival = figures["survival"]
    days, ticks = survival["days"], survival["ticks"]
    step = days[1] - days[0]
    places = [min(tick // step, len(days) - 1) for tick in ticks]
    rows = [
        {
            "name": curve_name(table, survival["by"], one),
            "side": one["side"],
            "patients": one["patients"],
            "cells": [
                {"alive": one["alive"][place], "risk": risk}
                for place, risk in zip(places, one["risk"], strict=True)
            ],
            "band": _band(one["band"]),
        }
        for one in survival["curves"]
    ]
    return {"ticks": [f"{tick / 365.25:.0f}" for tick in ticks], "rows": rows}


def _band(band: dict[str, Any] | None) -> str:
    """The last interval of a band: "at 5 years 42% to 61%"; empty where there is none."""
    if band is None:
        return ""
    return (
        f"{band['low'][-1]:.0%} to {band['high'][-1]:.0%} at {band['days'][-1] / 365.25:.0f} years"
    )


def curve_name(table: ExploreTable, by: str | None, one: dict[str, Any]) -> str:
    """ "A: Stage 4"."""
    if by is None:
        return NAMES[one["side"]]
    return f"{one['side'].upper()}: {table.dimensions[by].labels[one['cell']]}"


def wait_rows(table: ExploreTable, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Each curve of waiting times at some days."""
    waits = figures["waits"]
    places = [min(day // 7, len(waits["days"]) - 1) for day in WAIT_TABLE]
    return [
        {
            "name": f"{one['side'].upper()}: {table.treatments[one['kind']]}",
            "shares": [one["began"][place] for place in places],
        }
        for one in waits["curves"]
    ]


WAIT_TABLE = (28, 63, 182, 364)  # days


def path_rows(table: ExploreTable, flow: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """The most frequent orders of treatments of a cohort."""
    some = sorted(flow["paths"], key=lambda path: -path[1])[:10]
    return [
        {
            "name": " → ".join(table.treatments[step - 1] for step in steps) or "none recorded",
            "count": count,
            "share": count / max(size, 1),
        }
        for steps, count in some
    ]


def pathway_lines(table: ExploreTable, patients: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of single synthetic patients as text."""
    kinds = event_words(table)
    return [
        {
            "n": one["n"],
            "events": [f"day {day}: {event_name(kinds, k, c)}" for day, k, c in one["events"]],
        }
        for one in patients
    ]


def event_name(kinds: list[dict[str, Any]], kind: int, code: int) -> str:
    """ "Drug regimen, FEC"."""
    words = kinds[kind - 1]
    return words["title"] + (f", {words['codes'][code - 1]}" if code else "")


def event_words(table: ExploreTable) -> list[dict[str, Any]]:
    """What the kinds of events and their codes are called, in the declaration's order."""
    log = table.schema.events
    if log is None:
        return []
    words = []
    for name, kind in log.types.items():
        alike = table.schema.patients.get(kind.like or "")
        names = labels(alike) if alike is not None else {}
        words.append(
            {
                "title": event_title(log, name),
                "codes": [MISSING if c == "missing" else names.get(c, c) for c in kind.codes],
                "terminal": kind.terminal,
                "awaited": kind.terminal and is_survival(log) and name not in censoring(log),
                "censored": [n for n, c in enumerate(kind.codes, 1) if c in censoring(log)],
                "inside": kind.inside is not None,
            }
        )
    return words
