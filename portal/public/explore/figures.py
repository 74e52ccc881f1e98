"""All figures of a view in one value, small enough to be sent whenever a filter changes: counts,
and no row but the few pathways that are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from portal.public.explore import survival
from portal.public.explore.bands import Band, Bands
from portal.public.explore.counts import Members
from portal.public.explore.evidence import Meter
from portal.public.explore.pathway_facts import STEPS, steps_of
from portal.public.explore.pathways import pathways
from portal.public.explore.state import EVERYBODY, MOST_GROUPS, Filter, View
from portal.public.explore.table import WAIT_DAYS, ExploreTable

WAIT_STEP = 7  # days between points of the curves of waiting times

Figures = dict[str, Any]


def columns_shown(table: ExploreTable, view: View) -> list[str]:
    """The columns with a filter on the page: first ones, added ones, and all that are filtered."""
    filtered = [name for cohort in view.cohorts.values() for name in cohort.filters]
    return list(dict.fromkeys([*table.shown_first, *view.added, *filtered]))


def split_column(table: ExploreTable, bands: Bands, view: View) -> str | None:
    """By which column survival is split: what the reader asked for; else, for one cohort, a stratum
    of few groups whose band is published.
    """
    if view.by is not None:
        return None if view.by == EVERYBODY else view.by
    if view.b is not None:
        return None
    few = [
        name
        for name in table.schema.strata
        if name in bands.columns and len(table.dimensions[name].codes) <= MOST_GROUPS
    ]
    return few[0] if few else None


def figures(table: ExploreTable, meter: Meter, bands: Bands, view: View) -> Figures:
    """Everything that the page draws for a view."""
    members = {side: Members(table, cohort) for side, cohort in view.cohorts.items()}
    result: Figures = {
        "patients": table.patients,
        "cohorts": {side: _cohort(table, meter, one) for side, one in members.items()},
        "columns": {
            name: _column(table, meter, members, name) for name in columns_shown(table, view)
        },
    }
    if table.has_pathways:
        result["flow"] = {side: _flow(table, one) for side, one in members.items()}
        result["waits"] = _waits(table, members)
        result["pathways"] = {
            side: pathways(table, one, view.pick) for side, one in members.items()
        }
    if table.has_survival:
        by = split_column(table, bands, view)
        result["survival"] = _survival(table, bands, members, by)
    return result


def _cohort(table: ExploreTable, meter: Meter, members: Members) -> Figures:
    reading = meter.reading(members.filters, members.size, table.patients)
    part: Figures = {"size": members.size}
    if reading is None:
        return part
    part |= {"word": reading.word}
    if reading.is_measured:
        part |= {"low": round(reading.low, 4), "high": round(reading.high, 4)}
    return part


def _column(
    table: ExploreTable, meter: Meter, members: Mapping[str, Members], name: str
) -> Figures:
    """By cohort: `counts` of the cohort in each cell, `options` as they would be without the
    column's own filter (left out where there is none), `words` of the meter.
    """
    part: Figures = {}
    for side, one in members.items():
        counts, options = one.counts(name), one.options(name)
        part[side] = {"counts": counts.tolist()}
        if name in one.filters:
            part[side]["options"] = options.tolist()
        if not table.dimensions[name].is_range:
            part[side]["words"] = _words(table, meter, one, name, options)
    return part


def _words(
    table: ExploreTable, meter: Meter, members: Members, name: str, options: np.ndarray
) -> str:
    """The meter's word for each cell by its first letter; - where nobody is or none is needed."""
    readings = meter.options(members.filters, name, options.tolist(), table.patients)
    return "".join(
        reading.word[0] if count else "-" for count, reading in zip(options, readings, strict=True)
    )


def _flow(table: ExploreTable, members: Members) -> Figures:
    """Patients by their first treatments: `steps` (places in the list of treatments from 1) and how
    many had them and nothing before.
    """
    n_kinds = len(table.treatments)
    counts = np.bincount(members.of(table.flows()), minlength=(n_kinds + 1) ** STEPS)
    return {
        "paths": [
            [steps_of(int(code), n_kinds), int(counts[code])] for code in np.flatnonzero(counts)
        ]
    }


def _waits(table: ExploreTable, members: Mapping[str, Members]) -> Figures:
    """Of each cohort the share that had begun each kind of treatment by a day."""
    days = np.arange(0, WAIT_DAYS + 1, WAIT_STEP)
    curves = []
    for side, one in members.items():
        for kind in range(len(table.treatments)):
            by_day = np.bincount(one.of(table.waits(kind)), minlength=WAIT_DAYS + 2).cumsum()
            curves.append(
                {"side": side, "kind": kind, "began": _short(by_day[days] / max(one.size, 1))}
            )
    return {"days": days.tolist(), "curves": curves}


def _survival(
    table: ExploreTable, bands: Bands, members: Mapping[str, Members], by: str | None
) -> Figures:
    ends = table.outcomes()
    days, ticks = survival.grid(int(ends.max(initial=0)) // 2)
    lines = []
    for side, one in members.items():
        groups = one.of(table.cells(by)) if by else None
        for cell, curve in survival.curves(one.of(ends), groups, days, ticks).items():
            filters = dict(one.filters)
            if by and cell is not None:
                filters[by] = Filter(by, cells=frozenset({cell}))
            counts = {name: table.whole(name) for name in filters if name in bands.columns}
            lines.append(
                {
                    "side": side,
                    "cell": cell,
                    "patients": curve.patients,
                    "alive": _short(curve.at),
                    "risk": curve.risk.tolist(),
                    "band": _band(bands.band(filters, counts)),
                }
            )
    return {"by": by, "days": days.tolist(), "ticks": ticks.tolist(), "curves": lines}


def _band(band: Band | None) -> Figures | None:
    if band is None:
        return None
    return {"days": list(band.days), "low": _short(band.low), "high": _short(band.high)}


def _short(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]
