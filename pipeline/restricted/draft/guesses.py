"""What a column probably is, from what one pass over its cells left. `facts` came from rows, and a
person must replace them; how the cells are written (`form`) is no fact about anybody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.restricted.draft.cells import COMMA, FORMATS, NUMBER, Cells, Form
from pipeline.restricted.ingest.repairs import FALSE_WORDS, MISSING_TOKENS, TRUE_WORDS
from pipeline.schema.fields import EPOCH
from pipeline.schema.values import ISO_DATE, Kind, Role

MOST_CATEGORIES = 200
_NEARLY_ONCE = 1.1  # rows of a value, on average
FEW_CODES = 12  # whole numbers that are rather codes or a scale than a number
_ENOUGH = 0.98  # of the cells: the rest is listed for a person to look at
_MOST_MARKS = 3  # different values beside numbers or dates that are rather marks
_LONG = 40  # characters: rather a note than a category
_TIMES = 5  # that a category stands on average; 2 in a file of few rows
_PLACES = 4  # decimals that somebody wrote on purpose; more come from a computation
ID_NAME = re.compile(
    r"(^|[^a-z])(id|ids|no|nr|num|number|key|uuid|guid|mrn|pid|index|subject|patient|participant)$"
    r"|^(pid|usub|subj|pat|person)\w*(id|no|nr|num|number)?$"
    r"|(?-i:[a-z](ID|Id|No|Number)$)|^[a-z]{2,12}(id|number)$",
    re.IGNORECASE,
)
_SENTINELS = {"-9", "-99", "-999", "-9999", "-1", "99", "999", "9999", "9", "88", "888"}
Facts = dict[str, Any]


@dataclass(frozen=True)
class Guess:
    """One column. `facts`: fields that rows told; `form`: fields of how it is written; `notes`:
    what a person should look at.
    """

    header: str
    kind: Kind
    role: Role = "modelled"
    facts: Facts = field(default_factory=dict)
    form: Facts = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_modelled(self) -> bool:
        return self.role == "modelled"

    def noting(self, *notes: str) -> Guess:
        return replace(self, notes=(*self.notes, *notes))


def guess(header: str, cells: Cells) -> Guess:
    """The most likely kind of a column."""
    missing = _missing(cells)
    if not cells.n_full:
        note = "empty in every row: it is carried, and may go under `ignore:`"
        return Guess(header, "text", "carried", form={"nullable": True}, notes=(note,))
    if cells.n_texts == 1 and not cells.has_more:
        return _constant(header, cells, missing)
    date_forms = [form for form in FORMATS if _parses(cells, form)]
    number = next((form for form in (NUMBER, COMMA) if _parses(cells, form)), None)
    if date_forms:
        return _date(header, cells, date_forms, missing)
    if number is not None and not cells.has_leading_zeros:
        return _number(header, cells, number, missing)
    return _text(header, cells, missing)


def _parses(cells: Cells, form: str) -> bool:
    """Nearly all cells, or all but a few values that come up again and again."""
    share = cells.share(form)
    if share < _ENOUGH:
        return share >= 0.5 and len(cells.forms[form].rest) <= _MOST_MARKS
    return True


def _missing(cells: Cells) -> Facts:
    """Marks that ingest does not know by itself, and whether a value may be missing at all."""
    marks = [mark for mark, _ in cells.marks.most_common() if mark not in MISSING_TOKENS]
    facts: Facts = {"nullable": True} if cells.n_empty or cells.marks else {}
    return facts | ({"missing": marks} if marks else {})


def _constant(header: str, cells: Cells, missing: Facts) -> Guess:
    [value] = cells.texts
    if missing:
        return Guess(
            header,
            "categorical",
            facts={"categories": [value]} | missing,
            notes=("one value or none at all",),
        )
    return Guess(
        header,
        "categorical",
        "rebuilt",
        facts={"categories": [value]},
        notes=("the same value in every row",),
    )


def _date(header: str, cells: Cells, forms: list[str], missing: Facts) -> Guess:
    form = forms[0]
    read = cells.forms[form]
    span = (read.low, read.high)
    forms = [form, *(f for f in forms[1:] if (cells.forms[f].low, cells.forms[f].high) != span)]
    facts = {"lower": _day(read.low), "upper": _day(read.high)} | missing
    notes = []
    if len(forms) > 1:
        others = " or ".join(forms[1:])
        facts = {"date_format": form} | facts
        notes.append(f"every date reads as {form} and as {others}: ask who wrote the file")
    form_fields = {} if form == ISO_DATE or len(forms) > 1 else {"date_format": form}
    if read.low == read.high:
        return Guess(header, "date", "carried", facts, form_fields, ("the same day in every row",))
    return _with_rest(Guess(header, "date", "modelled", facts, form_fields, tuple(notes)), read)


def _day(days: float) -> Any:
    return EPOCH.fromordinal(EPOCH.toordinal() + int(days))


def _number(header: str, cells: Cells, form: str, missing: Facts) -> Guess:
    read = cells.forms[form]
    is_whole = read.places == 0
    if _is_code(cells, read, is_whole):
        return _with_rest(_codes(header, cells, read, missing), read)
    if is_whole and cells.is_unique and ID_NAME.search(header):
        return Guess(header, "id", "key", notes=("different in every row",))
    if is_whole and cells.repetition < _NEARLY_ONCE and ID_NAME.search(header):
        note = "nearly different in every row, and called after a number: carried"
        return Guess(header, "id", "carried", form={"nullable": True}, notes=(note,))
    span = read.high - read.low
    decimals, notes = read.places, []
    if decimals > _PLACES:
        decimals = max(0, 4 - math.floor(math.log10(span)))
        notes.append(f"{read.places} decimals look computed: {decimals} tell values apart")
    facts: Facts = {"lower": _down(read.low, decimals), "upper": _up(read.high, decimals)}
    if not facts["lower"] < facts["upper"]:
        return Guess(header, "text", "carried", form={"nullable": True}, notes=("hardly varies",))
    if abs(read.low) > 2**52 or abs(read.high) > 2**52 or span * 10.0**decimals >= 2**52:
        note = "numbers beyond what a float holds: carried as text"
        return Guess(header, "text", "carried", form={"nullable": True}, notes=(note,))
    facts |= {"decimals": decimals} | _shape(cells, read) | missing
    notes += _sentinel_notes(read)
    mark = {"decimal": ","} if form == COMMA else {}
    return _with_rest(Guess(header, "continuous", "modelled", facts, mark, tuple(notes)), read)


def _is_code(cells: Cells, read: Form, is_whole: bool) -> bool:
    enough = cells.n_full >= 3 * cells.n_texts
    return not cells.has_more and is_whole and cells.n_texts <= FEW_CODES and enough


def _codes(header: str, cells: Cells, read: Form, missing: Facts) -> Guess:
    categories = sorted(
        (text for text in cells.texts if text not in read.rest),
        key=lambda text: (float(text), text),
    )
    kind: Kind = "ordinal" if len(categories) > 2 else "categorical"
    notes = ("a scale? Else `kind: categorical`, or `continuous`",) if kind == "ordinal" else ()
    return Guess(header, kind, facts={"categories": categories} | missing, notes=notes).noting(
        *_sentinel_notes(read)
    )


def _down(value: float, decimals: int) -> float | int:
    return _plain(math.floor(round(value * 10**decimals, 6)) / 10**decimals, decimals)


def _up(value: float, decimals: int) -> float | int:
    return _plain(math.ceil(round(value * 10**decimals, 6)) / 10**decimals, decimals)


def _plain(value: float, decimals: int) -> float | int:
    return round(value, decimals) if decimals else int(value)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def _shape(cells: Cells, read: Form) -> Facts:
    """A value with mass of its own, and a long tail, as the values that were kept have it."""
    zeros = sum(n for text, n in cells.texts.items() if _is_zero(text)) / cells.n_full
    facts: Facts = {"atoms": [0]} if zeros > 0.2 and read.low <= 0 <= read.high else {}
    sizes = sorted(
        abs(float(number))
        for text in cells.texts
        if _NUMBER.fullmatch(number := text.strip().replace(",", "."))
    )
    middle = next((size for size in sizes[len(sizes) // 2 :] if size > 0), 0.0)
    largest = max(abs(read.low), abs(read.high))
    if middle and largest > 50 * middle:
        facts |= {"transform": "asinh", "scale": float(f"{middle:.1g}")}
    return facts


def _is_zero(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?0+([.,]0*)?", text))


def _sentinel_notes(read: Form) -> Iterator[str]:
    """Extremes that often stand for missing, away from the other values."""
    for value, beside in ((read.low, read.second_low), (read.high, read.second_high)):
        text = f"{value:g}"
        gap = abs(value - beside)
        is_far = gap > 0.5 * max(abs(beside), 1.0) if value > 0 else beside >= 0
        if text in _SENTINELS and value != beside and is_far:
            yield (
                f"{text} may mean missing: then `missing: ['{text}']`, and a bound that leaves it"
                " out"
            )


def _with_rest(guess_: Guess, read: Form) -> Guess:
    """With the values that do not parse, for a person to tell."""
    if not read.n_rest:
        return guess_
    commonest = [text for text, _ in read.rest.most_common(5)]
    return replace(
        guess_,
        facts=guess_.facts
        | {"nullable": True, "missing": [*guess_.facts.get("missing", ()), *commonest]},
        notes=(
            *guess_.notes,
            f"{read.n_rest} cells do not parse; the commonest are listed as marks of missing: take"
            " out what is none, or declare `unknown: missing`",
        ),
    )


def _text(header: str, cells: Cells, missing: Facts) -> Guess:
    times = _TIMES if cells.n_full >= 100 else 2
    is_few = not cells.has_more and cells.n_texts <= MOST_CATEGORIES
    is_repeated = cells.n_full >= times * cells.n_texts
    if cells.is_unique and (ID_NAME.search(header) or (not cells.n_blank and cells.longest <= 20)):
        return Guess(header, "id", "key", notes=("different in every row",))
    if is_few and is_repeated and cells.longest <= 3 * _LONG:
        return _categories(header, cells, missing)
    n = f"more than {cells.n_texts}" if cells.has_more else f"{cells.n_texts}"
    notes = [
        f"{n} different texts: carried, so empty in extracts. A public code list under"
        " `categories_from:` would make it modelled"
    ]
    if _has_short_years(cells):
        notes.append("dates with a year of two digits: write four, so that the century is certain")
    return Guess(header, "text", "carried", form={"nullable": True}, notes=tuple(notes))


def _categories(header: str, cells: Cells, missing: Facts) -> Guess:
    categories = sorted(cells.texts)
    facts: Facts = {"categories": categories} | missing
    words = {text.casefold() for text in categories}
    if words <= {*TRUE_WORDS, *FALSE_WORDS} and len(categories) > 2:
        note = "true and false in several spellings: declare two of them and `booleans:`"
        return Guess(header, "categorical", facts=facts, notes=(note,))
    if folded := sorted({text for text in categories if _times(text, categories) > 1}):
        note = f"spelt in several ways: {', '.join(folded)}. Use `repairs: [replace(old=new)]`"
        return Guess(header, "categorical", facts=facts, notes=(note,))
    return Guess(header, "categorical", facts=facts)


def _times(text: str, categories: list[str]) -> int:
    return sum(other.casefold() == text.casefold() for other in categories)


def _has_short_years(cells: Cells) -> bool:
    pattern = re.compile(r"\d{1,2}[/.-](\d{1,2}|[A-Za-z]{3})[/.-]\d{2}")
    return bool(cells.texts) and all(pattern.fullmatch(text) for text in list(cells.texts)[:50])
