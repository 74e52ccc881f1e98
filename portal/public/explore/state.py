"""What a reader looks at, as it stands in the address: two cohorts with their filters, by which
column survival is split, further columns, which patients' pathways are drawn.

    a.SITE_GROUP=Breast&a.AGE=40..60&b.SITE_GROUP=Lung&compare=1&by=STAGE_GROUP&with=GRADE&pick=2

A missing value is an empty one; a range may lack an end; a form writes it in two fields,
`a.AGE.from` and `a.AGE.to`. Everything is compared with the declaration; nothing of an address
comes into a query.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import urlencode

from pipeline.refusal import Refusal
from portal.public.explore.dimensions import Dimension

MOST_PARTS = 600  # of an address
MOST_ADDED = 6  # columns beside those that are shown first
MOST_GROUPS = 12  # of a column by which survival is split
LARGEST = 1e12
PICKS = 10_000
EVERYBODY = "all"  # of `by`: survival is not split
_EPOCH = date(1970, 1, 1).toordinal()

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Filter:
    """One column: some cells, or a range of numbers (both ends within; days of a date)."""

    name: str
    cells: frozenset[int] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cohort:
    """Who meets every filter."""

    filters: Mapping[str, Filter]


@dataclass(frozen=True)
class View:
    """What a page shows. `by`: a column, `all`, or None where the reader left it to us."""

    a: Cohort
    b: Cohort | None = None
    by: str | None = None
    added: tuple[str, ...] = ()
    pick: int = 0

    @property
    def cohorts(self) -> dict[str, Cohort]:
        return {"a": self.a} | ({} if self.b is None else {"b": self.b})


def read(pairs: Pairs, dimensions: Mapping[str, Dimension]) -> View:
    """The view of an address. Raises Refusal for what the release does not have."""
    pairs = list(pairs)
    if len(pairs) > MOST_PARTS:
        raise Refusal(f"this address has {len(pairs)} parts; at most {MOST_PARTS} are read")
    filters: dict[str, dict[str, Filter]] = {"a": {}, "b": {}}
    others: dict[str, list[str]] = {"compare": [], "by": [], "with": [], "pick": []}
    for key, text in pairs:
        if key in others:
            others[key].append(text)
        else:
            _read_filter(filters, key, text, dimensions)
    added = tuple(dict.fromkeys(name for name in others["with"] if name))
    if unknown := [name for name in added if name not in dimensions]:
        raise Refusal(f"this release has no column {unknown[0][:60]!r} to add")
    if len(added) > MOST_ADDED:
        raise Refusal(f"at most {MOST_ADDED} columns can be added; leave some out")
    compare = (others["compare"] or ["0"])[-1]
    if compare not in ("0", "1"):
        raise Refusal("compare is 0 or 1")
    return View(
        a=Cohort(filters["a"]),
        b=Cohort(filters["b"]) if compare == "1" else None,
        by=_by((others["by"] or [""])[-1], dimensions),
        added=added,
        pick=_pick((others["pick"] or ["0"])[-1]),
    )


def query(view: View, dimensions: Mapping[str, Dimension]) -> str:
    """The address of a view, always the same text for the same view; `read` gives it back."""
    pairs: list[tuple[str, str]] = []
    for side, cohort in (("a", view.a), ("b", view.b or Cohort({}))):
        for name in sorted(cohort.filters):
            pairs += _pairs(side, cohort.filters[name], dimensions[name])
    pairs += [("compare", "1")] if view.b is not None else []
    pairs += [("by", view.by)] if view.by else []
    pairs += [("with", name) for name in view.added]
    pairs += [("pick", str(view.pick))] if view.pick else []
    return urlencode(pairs)


def without(view: View, name: str) -> View:
    """The view with a column taken off: neither added nor filtered."""
    a, b = (
        side and Cohort({other: one for other, one in side.filters.items() if other != name})
        for side in (view.a, view.b)
    )
    assert a is not None
    return replace(view, a=a, b=b, added=tuple(other for other in view.added if other != name))


def _pairs(side: str, one: Filter, dimension: Dimension) -> list[tuple[str, str]]:
    key = f"{side}.{one.name}"
    if one.cells is not None:
        codes = ("", *dimension.codes)
        return [(key, codes[cell]) for cell in sorted(one.cells)]
    ends = ["" if value is None else dimension.text(value) for value in (one.low, one.high)]
    return [(key, "..".join(ends))]


def _read_filter(
    filters: dict[str, dict[str, Filter]], key: str, text: str, dimensions: Mapping[str, Dimension]
) -> None:
    side, _, rest = key.partition(".")
    name, end = rest, ""
    if rest not in dimensions:
        name, _, end = rest.rpartition(".")
    dimension = dimensions.get(name)
    if side not in filters or dimension is None or (end not in ("from", "to") and end):
        raise Refusal(f"this release has no filter {key[:60]!r}")
    if end and not dimension.is_range:
        raise Refusal(f"the filter of {name} takes values, no range")
    ours = filters[side]
    if dimension.is_range and not end:
        low, dots, high = text.partition("..")
        if not dots:
            raise Refusal(f"the filter of {name} takes a range, such as {key[:60]}=LOW..HIGH")
        _read_filter(filters, f"{key}.from", low, dimensions)
        _read_filter(filters, f"{key}.to", high, dimensions)
    elif not end:
        cell = _cell(dimension, text)
        before = ours[name].cells if name in ours else None
        ours[name] = Filter(name, cells=(before or frozenset()) | {cell})
    elif text:  # an empty field of a form is no bound
        bound = _bound(dimension, text)
        one = ours.get(name, Filter(name))
        ours[name] = replace(one, low=bound) if end == "from" else replace(one, high=bound)


def _cell(dimension: Dimension, code: str) -> int:
    if not code:
        return 0
    try:
        return dimension.codes.index(code) + 1
    except ValueError:
        raise Refusal(f"{dimension.name} has no value {code[:60]!r}") from None


def _bound(dimension: Dimension, text: str) -> float:
    try:
        if dimension.column.kind == "date":
            return float(date.fromisoformat(text).toordinal() - _EPOCH)
        value = float(text) if len(text) <= 30 else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > LARGEST:
        form = "a day, YYYY-MM-DD" if dimension.column.kind == "date" else "a number"
        raise Refusal(f"a bound of {dimension.name} must be {form}; {text[:30]!r} is none")
    return round(value, dimension.column.decimals)


def _by(name: str, dimensions: Mapping[str, Dimension]) -> str | None:
    if name in ("", EVERYBODY):
        return name or None
    dimension = dimensions.get(name)
    if dimension is None or dimension.is_range or len(dimension.codes) > MOST_GROUPS:
        raise Refusal(f"survival cannot be split by {name[:60]!r}")
    return name


def _pick(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and int(text) < PICKS):
        raise Refusal(f"pick is a whole number below {PICKS}")
    return int(text)
