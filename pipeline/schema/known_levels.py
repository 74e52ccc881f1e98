"""The levels of a published table: categories, or ranges of a number or date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipeline.schema.document import Path_
from pipeline.schema.fields import FieldReader
from pipeline.schema.value_types import in_short, is_scalar
from pipeline.schema.values import Column, Level


class LevelReader(FieldReader):
    """Reads the levels of one column."""

    def levels(
        self, path: Path_, value: Any, column: Column
    ) -> tuple[tuple[Level, ...], tuple[Any, ...]]:
        """The levels, and the name of each in the counts: its own, else its value, else its
        number. None where one is wrong.
        """
        if isinstance(value, Mapping):
            entries = [((*path, key), key, item) for key, item in value.items()]
        elif isinstance(value, list):
            entries = [((*path, at), _name(at, item), item) for at, item in enumerate(value)]
        else:
            self.document.problem(
                path, f"must be a list of levels, or levels by name, is {in_short(value)}"
            )
            return (), ()
        if not entries:
            self.document.problem(path, "must name at least one level")
        levels = [self._level(place, item, column) for place, _, item in entries]
        sound = [level for level in levels if level is not None]
        if len(sound) < len(entries):
            return (), ()
        self._check_apart(path, sound, column)
        return tuple(sound), tuple(name for _, name, _ in entries)

    def _level(self, path: Path_, item: Any, column: Column) -> Level | None:
        if item is None:
            return self._of_values(path, [None], column)
        if column.is_categorical:
            return self._of_values(path, item if isinstance(item, list) else [item], column)
        return self._of_range(path, item, column)

    def _of_values(self, path: Path_, items: list[Any], column: Column) -> Level | None:
        """Some categories; None among them is missing."""
        if not items:
            self.document.problem(path, "is a level without values")
            return None
        texts: list[str | None] = []
        is_sound = True
        for item in items:
            if item is None:
                is_possible, fault = column.nullable, f"{column.name} is never missing"
            elif isinstance(item, bool) or not is_scalar(item):
                is_possible = False
                fault = f"{in_short(item)} is no value of {column.name}: put it in quotes"
            else:
                is_possible = str(item) in column.categories
                fault = (
                    f"{str(item)!r} is no value of {column.name}: a published table uses the codes"
                    " that are declared, so leave it out or translate it"
                )
            if not is_possible:
                self.document.problem(path, fault)
            is_sound &= is_possible
            texts.append(None if item is None else str(item))
        return Level(values=tuple(texts)) if is_sound else None

    def _of_range(self, path: Path_, item: Any, column: Column) -> Level | None:
        """[lowest, highest] of a number or a date."""
        if not isinstance(item, list) or len(item) != 2:
            self.document.problem(
                path,
                f"must be [lowest, highest], or null for missing, as {column.name} is"
                f" {column.kind}; is {in_short(item)}",
            )
            return None
        low, high = (self.number(path, bound, column.kind) for bound in item)
        if low is None or high is None:
            return None
        if low > high:
            self.document.problem(path, f"{in_short(item)} ends before it begins")
            return None
        least, most = column.lower, column.upper
        if (least is not None and low < least) or (most is not None and high > most):
            self.document.problem(
                path, f"{in_short(item)} passes the bounds of {column.name}: end it there"
            )
            return None
        return Level(low=low, high=high)

    def _check_apart(self, path: Path_, levels: Sequence[Level], column: Column) -> None:
        """Each value lies in one level at most."""
        values = [value for level in levels for value in level.values]
        if twice := sorted({str(value) for value in values if values.count(value) > 1}):
            self.document.problem(path, f"{', '.join(twice)}: in two levels of {column.name}")
        ranges = sorted(
            (level.low, level.high)
            for level in levels
            if level.low is not None and level.high is not None
        )
        for (_, high), (low, _) in pairwise(ranges):
            if low <= high:
                self.document.problem(
                    path,
                    f"two ranges of {column.name} overlap: both ends of a range belong to it, so"
                    " that the one before ends below the next",
                )


def _name(place: int, item: Any) -> Any:
    """What counts may call a level of a list: its value, where it is a single one."""
    return item if item is None or is_scalar(item) else place
