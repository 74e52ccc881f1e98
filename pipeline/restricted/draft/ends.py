"""Which columns say when pathways end, and how: dates or numbers, with a status or two of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from pipeline.restricted.draft.guesses import Guess

START, END, DEATH, EVENT, CENSORED = "START", "END", "DEATH", "EVENT", "CENSORED"
END_NAME = re.compile(
    r"last|exit|end|death|dead|died|withdraw|discharg|follow|censor|recid|vital", re.IGNORECASE
)
_LAST = re.compile(r"last|exit|end|withdraw|follow|vital|seen|contact", re.IGNORECASE)
_DEATH = re.compile(r"death|dead|died|deceas|decease|vital|surviv", re.IGNORECASE)
_NUMBER = re.compile(
    r"^(fu|os|obs)[_ .]?(time|days|months|years)$|follow|last|exit|surviv|death|died|censor"
    r"|^time_?to|^(d|o|f|l)?time$",
    re.IGNORECASE,
)
_PAIR_TIME = re.compile(r"time$|(days|months|years)$", re.IGNORECASE)
# of several times with a status, the one that ends follow-up
_ENDS = re.compile(r"^(fu|os|d)_?time|death|dead|died|surv|srv|follow|last", re.IGNORECASE)
_UNITS = ("day", "week", "month", "year")
_STATUS = re.compile(r"status|reason|outcome|vital|censor|cause|dead|death|event", re.IGNORECASE)
_OBSERVED_UNTIL = frozenset(
    ("0", "0.0", "no", "n", "false", "f", "alive", "living", "censored", "censor", "lost", "none")
)


class OneTable(Protocol):
    """What this module asks of `tables.TableGuess`."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, Guess]: ...


@dataclass(frozen=True)
class EndGuess:
    """One source of ends. `unit`: of a number, None for a date; `code`: the column with codes of
    the type `constant`; `status`: the column whose values `codes` translates to types instead.
    """

    table: OneTable
    time: str
    unit: str | None
    constant: str = END
    code: str | None = None
    status: str | None = None
    codes: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in (self.time, self.code, self.status) if name is not None)

    @property
    def types(self) -> tuple[str, ...]:
        """The end of observation last: other ends count as events."""
        types = dict.fromkeys(name for _, name in self.codes) or {self.constant: None}
        return tuple(sorted(types, key=lambda name: name == CENSORED))


def ends_of(
    table: OneTable, names: Sequence[str], origin: str | None, unit: str | None
) -> tuple[EndGuess, ...]:
    """In the columns `names`, each with one value for a patient. unit: of the numbers that tell
    when events are, None where dates do.
    """
    columns = {n: table.columns[n] for n in names if table.columns[n].is_modelled and n != origin}
    status = _status(columns)
    codes = () if status is None else types_of(status, columns[status])
    if unit is not None:
        times = [
            n for n, one in columns.items() if _is_full(one, "continuous") and _NUMBER.search(n)
        ]
        best = times[0] if times else None
    else:
        dates = [n for n, one in columns.items() if one.kind == "date" and END_NAME.search(n)]
        full = [name for name in dates if _is_full(columns[name], "date")]
        deaths = [name for name in dates if name not in full and _DEATH.search(name)]
        best = next((n for n in full or dates if _LAST.search(n)), next(iter(full or dates), None))
        if status is None and deaths and best in full:
            return EndGuess(table, deaths[0], None, DEATH), EndGuess(table, best, None, CENSORED)
    if best is None:
        return ()
    if codes:
        return (EndGuess(table, best, unit, status=status, codes=codes),)
    return (EndGuess(table, best, unit, code=status),)


def pairs_of(table: OneTable) -> tuple[EndGuess, ...]:
    """Of one row per patient: each time of days with the status that stands next to it, the end of
    follow-up last.
    """
    pairs = []
    for (time, days), (name, status) in pairwise(table.columns.items()):
        is_named = _NUMBER.search(time) or _PAIR_TIME.search(time) or name.startswith(time)
        is_status = _is_full(status, "categorical", "ordinal") and status.is_modelled
        if not (is_named and is_status and _is_full(days, "continuous") and days.is_modelled):
            continue
        if codes := types_of(name, status):
            pairs.append(EndGuess(table, time, unit_of(time), status=name, codes=codes))
    ends = [one for one in pairs if any(map(_ENDS.search, one.columns))] or pairs
    return tuple(sorted(pairs, key=lambda one: one is ends[-1]))


def unit_of(name: str) -> str:
    """days, where the name says nothing else."""
    return next((f"{unit}s" for unit in _UNITS if unit in name.casefold()), "days")


def as_event(pair: EndGuess) -> EndGuess:
    """A time with its status as an event that a patient has once or never, called after the
    time.
    """
    base = type_name(pair.time)
    values = [value for value, name in pair.codes if name != CENSORED]
    numbers = [base] if len(values) == 1 else [f"{base}_{n}" for n in range(1, len(values) + 1)]
    return replace(pair, codes=tuple(zip(values, numbers, strict=True)))


def type_name(name: str) -> str:
    """A type's name from a table's or a column's: visits -> VISIT."""
    word = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()
    is_plural = word.endswith("S") and not word.endswith("SS") and len(word) > 3
    return (word[:-1] if is_plural else word)[:40] or "ROW"


def _is_full(column: Guess, *kinds: str) -> bool:
    return column.kind in kinds and "nullable" not in column.facts


def _status(columns: dict[str, Guess]) -> str | None:
    """A full one: whoever has no code has no legal end."""
    return next(
        (
            name
            for name, one in columns.items()
            if _is_full(one, "categorical", "ordinal") and _STATUS.search(name)
        ),
        None,
    )


def types_of(name: str, status: Guess) -> tuple[tuple[str, str], ...]:
    """(value, type of end) of a status, one of whose values says that observation ended; nothing
    where none does.
    """
    values = list(status.facts["categories"])
    others = [value for value in values if value.casefold() not in _OBSERVED_UNTIL]
    if not others or len(others) == len(values):
        return ()
    is_death = _DEATH.search(name) or any(_DEATH.search(value) for value in others)
    base = DEATH if is_death else EVENT
    numbers = {value: f"{base}_{place}" for place, value in enumerate(others, start=1)}
    ends = {others[0]: base} if len(others) == 1 else numbers
    return tuple((value, ends.get(value, CENSORED)) for value in values)
