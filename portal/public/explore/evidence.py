"""The evidence meter of a release for the counts of a cohort: the published intervals of
`estimates/` (docs/estimates.md), looked up or added up. No model is read and nothing is charged.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.schema.words import labels
from portal.public.explore.dimensions import Dimension
from portal.public.explore.state import Filter

CLOSE = 0.1  # of the figure, as in docs/estimates.md
MOST_CELLS = 12  # that are added up: more would say little but noise
MISSING = "missing"  # as the estimates write it

Cell = frozenset[int] | tuple[float, float]  # cells of a column, or a range with both ends


@dataclass(frozen=True)
class Reading:
    """A share of patients in the source: estimate, 95% interval, and the meter's word."""

    word: str  # reliable, indicative, noise; unmeasured where nothing was counted
    low: float = math.nan
    high: float = math.nan

    @property
    def is_measured(self) -> bool:
        return not math.isnan(self.low)


@dataclass(frozen=True)
class _Line:
    cells: tuple[Cell, ...]
    estimate: float
    high: float


class Meter:
    """What the noisy counts of a release say of groups of patients."""

    def __init__(self, shares: Path, card: Mapping[str, Any], dimensions: Mapping[str, Dimension]):
        self._dimensions = dimensions
        self._tables = _read(shares, dimensions) if shares.is_file() else {}
        self._clear = _lowest_threshold(card)

    def reading(self, filters: Mapping[str, Filter], count: int, patients: int) -> Reading | None:
        """Of a group in the extract: `count` of `patients` meet the filters. None for everybody:
        how many are drawn was chosen, not counted.
        """
        if not filters:
            return None
        lines = self._tables.get(tuple(sorted(filters)))
        if lines is None:
            return self._unmeasured(count)
        parts = [(line, _part(line, filters)) for line in lines]
        return self._sum([one for one in parts if one[1] != 0], count, patients)

    def options(
        self, filters: Mapping[str, Filter], name: str, counts: Sequence[int], patients: int
    ) -> list[Reading]:
        """As `reading`, of the group in each cell of one more column that is no number."""
        others = {other: one for other, one in filters.items() if other != name}
        names = tuple(sorted((*others, name)))
        lines = self._tables.get(names)
        if lines is None:
            return [self._unmeasured(count) for count in counts]
        place = names.index(name)
        parts: list[list[tuple[_Line, float]]] = [[] for _ in counts]
        for line in lines:
            cell = line.cells[place]
            rest = (*line.cells[:place], *line.cells[place + 1 :])
            part = _part(_Line(rest, line.estimate, line.high), others)
            if part != 0 and isinstance(cell, frozenset):
                for one in cell:  # of several values together nobody knows which
                    parts[one].append((line, part if len(cell) == 1 else math.nan))
        return [self._sum(some, count, patients) for some, count in zip(parts, counts, strict=True)]

    def _sum(self, parts: Sequence[tuple[_Line, float]], count: int, patients: int) -> Reading:
        """Of cells together, of each the part that belongs to the group."""
        if not parts or len(parts) > MOST_CELLS or any(math.isnan(part) for _, part in parts):
            return self._unmeasured(count)
        estimate = sum(line.estimate * part for line, part in parts)
        half = math.sqrt(sum(((line.high - line.estimate) * part) ** 2 for line, part in parts))
        low, high = max(estimate - half, 0.0), min(estimate + half, 1.0)
        return Reading(_word(count / max(patients, 1), low, high), low, high)

    def _unmeasured(self, count: int) -> Reading:
        """Fewer patients than the best of all tables could tell from noise are noise in any."""
        return Reading("noise" if count < self._clear else "unmeasured")


def _part(line: _Line, filters: Mapping[str, Filter]) -> float:
    """How much of a cell of a table meets the filters, 0 to 1; NaN where nobody can say."""
    part = 1.0
    for name, cell in zip(sorted(filters), line.cells, strict=True):
        part *= _overlap(cell, filters[name])
    return part


def _overlap(cell: Cell, one: Filter) -> float:
    if isinstance(cell, frozenset):
        if one.cells is None or not cell & one.cells:
            return 0.0
        return 1.0 if cell <= one.cells else math.nan
    low = cell[0] if one.low is None else max(one.low, cell[0])
    high = cell[1] if one.high is None else min(one.high, cell[1])
    if high < low:
        return 0.0
    return (high - low + 1e-9) / (cell[1] - cell[0] + 1e-9)


def _word(figure: float, low: float, high: float) -> str:
    room = CLOSE * figure
    if figure > 0 and figure - room <= low and high <= figure + room:
        return "reliable"
    return "indicative" if low > 0 else "noise"


def _lowest_threshold(card: Mapping[str, Any]) -> int:
    """From how many patients of the extract the best of its tables stands clear of noise."""
    tables = ((card.get("evidence") or {}).get("tables") or {}).values()
    return min((one["clear_from"] for kind in tables for one in kind), default=0)


def _read(path: Path, dimensions: Mapping[str, Dimension]) -> dict[tuple[str, ...], list[_Line]]:
    """By column names in order, the lines of the tables whose columns are all ours."""
    tables: dict[tuple[str, ...], list[_Line]] = {}
    words: dict[str, Mapping[str, int]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names, texts = row["table"].split(" x "), row["cell"].split(" x ")
            if len(set(names)) < len(texts) or len(names) != len(texts) or not row["estimate"]:
                continue
            if not all(name in dimensions for name in names):
                continue
            cells = {}
            for name, text in zip(names, texts, strict=True):
                if name not in words:
                    words[name] = words_of(dimensions[name])
                cells[name] = cell_of(dimensions[name], text, words[name])
            key = tuple(sorted(names))
            if (line := _line(tuple(cells[name] for name in key), row)) is not None:
                tables.setdefault(key, []).append(line)
    return tables


def _line(cells: tuple[Cell | None, ...], row: Mapping[str, str]) -> _Line | None:
    """None where a cell is in words that are not ours."""
    whole = tuple(cell for cell in cells if cell is not None)
    if len(whole) < len(cells):
        return None
    return _Line(whole, float(row["estimate"]), float(row["source_high"]))


def cell_of(dimension: Dimension, text: str, words: Mapping[str, int]) -> Cell | None:
    """What a cell of the estimates stands for: "0 to 17", "2 (Female)", "Bone, Eye, missing"."""
    if not dimension.is_range:
        return _several(text, words)
    if text == MISSING:
        return frozenset({0})
    low, _, high = text.partition(" to ")
    try:
        return dimension.number(low), dimension.number(high or low)
    except ValueError:
        return None


def words_of(dimension: Dimension) -> Mapping[str, int]:
    """How the estimates call each cell, long words first: a code with its label."""
    words = {MISSING: 0}
    for cell, (code, name) in enumerate(labels(dimension.column).items(), 1):
        words[code if name.startswith(code) else f"{code} ({name})"] = cell
    return dict(sorted(words.items(), key=lambda one: -len(one[0])))


def _several(text: str, words: Mapping[str, int]) -> frozenset[int] | None:
    """Known words with commas between; a word may hold a comma itself."""
    if text in words:
        return frozenset({words[text]})
    for word, cell in words.items():
        if text.startswith(f"{word}, "):
            rest = _several(text[len(word) + 2 :], words)
            if rest is not None:
                return rest | {cell}
    return None
