"""What the template of the dashboard is given: filters with their counts, sentences, tables. The
page says the same without its script; the script swaps the parts that change.
"""

from __future__ import annotations

from typing import Any

from portal.public.explore import sentences, state
from portal.public.explore.dimensions import Dimension
from portal.public.explore.figures import Figures
from portal.public.explore.release import Published
from portal.public.explore.state import Cohort, View
from portal.public.explore.table import ExploreTable

MOST_PLOTTED = 6  # columns with a plot where there are no pathways
WORDS = {"r": "reliable", "i": "indicative", "n": "noise", "u": "unmeasured"}
SIDES = ("a", "b")


def parts(table: ExploreTable, view: View, figures: Figures) -> dict[str, Any]:
    """What changes with a filter, for the fragment of the template."""
    part: dict[str, Any] = {
        "cohorts": [_cohort(table, view, figures, side) for side in view.cohorts],
        "columns": [
            {
                "name": name,
                "summary": sentences.column_summary(table.dimensions[name], _counts(figures, name)),
                "rows": _column_rows(table, figures, name),
            }
            for name in plotted(table, figures)
        ],
        "sides": list(view.cohorts),
        "meter": sentences.METER,
    }
    if "survival" in figures:
        part["survival"] = sentences.survival_table(table, figures)
    if "flow" in figures:
        part["waits"] = sentences.wait_rows(table, figures)
        part["wait_days"] = sentences.WAIT_TABLE
        part["flows"] = {
            side: sentences.path_rows(table, flow, figures["cohorts"][side]["size"])
            for side, flow in figures["flow"].items()
        }
        part["pathways"] = {
            side: sentences.pathway_lines(table, some) for side, some in figures["pathways"].items()
        }
    return part


def plotted(table: ExploreTable, figures: Figures) -> list[str]:
    """The columns with a plot of their own: of pathways a number and a list, the others are beside
    the filters; of a table more.
    """
    names = list(figures["columns"])
    if not table.has_pathways:
        return names[:MOST_PLOTTED]
    ranges = [name for name in names if table.dimensions[name].is_range][:1]
    lists = [name for name in names if not table.dimensions[name].is_range][:1]
    return [*ranges, *lists]


def filters(table: ExploreTable, view: View, figures: Figures) -> list[dict[str, Any]]:
    """The filters of the page, one for each column part."""
    first = set(table.shown_first)
    return [
        {
            "name": name,
            "title": table.dimensions[name].title,
            "unit": table.dimensions[name].column.unit or "",
            "description": table.dimensions[name].column.description or "",
            "is_range": table.dimensions[name].is_range,
            "is_date": table.dimensions[name].column.kind == "date",
            "step": 10.0 ** -table.dimensions[name].column.decimals,
            "is_open": name in list(figures["columns"])[:5] or _is_set(view, name),
            "is_added": name not in first,
            "without": state.query(state.without(view, name), table.dimensions),
            "bounds": {side: _bounds(table.dimensions[name], view, side) for side in SIDES},
            "rows": _filter_rows(table, view, figures, name),
        }
        for name in figures["columns"]
    ]


def script_data(
    published: Published, table: ExploreTable, view: View, figures: Figures
) -> dict[str, Any]:
    """What the script knows of the release, and the first figures."""
    names = [*table.dimensions]
    return {
        "release": published.release_id,
        "columns": {
            name: {
                "title": table.dimensions[name].title,
                "unit": table.dimensions[name].column.unit or "",
                "labels": table.dimensions[name].labels,
                "range": table.dimensions[name].is_range,
                "order": table.dimensions[name].order(table.whole(name).tolist()),
            }
            for name in names
            if name in figures["columns"] or name == (figures.get("survival") or {}).get("by")
        },
        "plotted": plotted(table, figures),
        "treatments": table.treatments,
        "events": sentences.event_words(table),
        "awaited": table.awaited if table.has_survival else "",
        "figures": figures,
    }


def choices(table: ExploreTable, figures: Figures) -> dict[str, Any]:
    """Columns that can be added, and by which survival can be split: names with titles; and what
    every column is called.
    """
    others = [name for name in table.dimensions if name not in figures["columns"]]
    few = [
        name
        for name, one in table.dimensions.items()
        if not one.is_range and len(one.codes) <= state.MOST_GROUPS
    ]
    return {
        "titles": {name: one.title for name, one in table.dimensions.items()},
        "add": [(name, table.dimensions[name].title) for name in others],
        "by": [(name, table.dimensions[name].title) for name in few],
    }


def _cohort(table: ExploreTable, view: View, figures: Figures, side: str) -> dict[str, Any]:
    figure = figures["cohorts"][side]
    cohort = view.cohorts[side]
    return {
        "side": side,
        "name": sentences.NAMES[side],
        "who": sentences.cohort_words(cohort.filters, table),
        "share": figure["size"] / max(table.patients, 1),
        "word": figure.get("word"),
        "means": sentences.METER.get(figure.get("word", ""), ""),
        **figure,
    }


def _counts(figures: Figures, name: str) -> dict[str, list[int]]:
    return {side: one["counts"] for side, one in figures["columns"][name].items()}


def _column_rows(table: ExploreTable, figures: Figures, name: str) -> list[dict[str, Any]]:
    dimension, counts = table.dimensions[name], _counts(figures, name)
    order = dimension.order(table.whole(name).tolist())
    return [
        {"label": dimension.labels[cell], "counts": {side: c[cell] for side, c in counts.items()}}
        for cell in order
    ]


def _filter_rows(
    table: ExploreTable, view: View, figures: Figures, name: str
) -> list[dict[str, Any]]:
    """A line for each value that the release has."""
    dimension, column = table.dimensions[name], figures["columns"][name]
    codes = ("", *dimension.codes)
    rows = []
    for cell in dimension.order(table.whole(name).tolist()):
        row: dict[str, Any] = {"cell": cell, "label": dimension.labels[cell], "a": None, "b": None}
        row["code"] = "" if dimension.is_range else codes[cell]
        for side in view.cohorts:
            one = column[side]
            options = one.get("options", one["counts"])
            letter = one["words"][cell] if "words" in one else "-"
            row[side] = {
                "count": options[cell],
                "width": round(100 * options[cell] / max(max(options), 1), 1),
                "word": WORDS.get(letter, ""),
            }
        row["checked"] = {side: _is_checked(view, side, name, cell) for side in SIDES}
        rows.append(row)
    return rows


def _is_checked(view: View, side: str, name: str, cell: int) -> bool:
    one = view.cohorts.get(side, Cohort({})).filters.get(name)
    return one is not None and one.cells is not None and cell in one.cells


def _is_set(view: View, name: str) -> bool:
    return any(name in cohort.filters for cohort in view.cohorts.values())


def _bounds(dimension: Dimension, view: View, side: str) -> dict[str, str]:
    one = view.cohorts.get(side, Cohort({})).filters.get(dimension.name)
    if one is None:
        return {"low": "", "high": ""}
    ends = {"low": one.low, "high": one.high}
    return {end: "" if v is None else dimension.text(v) for end, v in ends.items()}
