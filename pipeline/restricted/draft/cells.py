"""What one pass over a column's cells leaves: counts, extremes and a sketch of its values, in
bounded memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipeline.restricted.ingest.casting import comma_numbers, dates, numbers
from pipeline.restricted.ingest.repairs import MISSING_TOKENS
from pipeline.schema.date_formats import DATE_FORMATS
from pipeline.schema.values import ISO_DATE, Column

MOST_TEXTS = 1000  # different values of a column that are kept with their counts
MOST_HASHES = 20_000  # of its values, kept to tell whether they repeat and are shared by tables
MOST_REST = 20  # values kept that do not parse in a form
# values that mean missing wherever they stand; `None` may be a category
MARKS = (
    *(token for token in MISSING_TOKENS if token.casefold() != "none"),
    *("?", ".", "-", "--", "*", "#N/A", "N.A.", "n/a", "n.a.", "na", "Missing", "missing"),
)
FORMATS = (
    ISO_DATE,
    *DATE_FORMATS,
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M",
    "%d %B %Y",
)
NUMBER, COMMA = "number", "comma"
_ALIVE = 0.5  # share of its first cells that must parse for a form to be tried on
_FIRST = 50  # cells by which forms are dropped


@dataclass
class Form:
    """How cells read in one form, a number or a date (in days): cells that parse, extremes, places
    after the mark, and some of the values that do not parse.
    """

    n: int = 0
    low: float = np.inf
    high: float = -np.inf
    second_low: float = np.inf
    second_high: float = -np.inf
    places: int = 0
    rest: Counter[str] = field(default_factory=Counter)
    n_rest: int = 0

    def add(self, values: pl.Series, texts: pl.Series, counts: pl.Series) -> None:
        """`values` (null: does not parse) of the different `texts`, each so many times."""
        parses = values.is_not_null()
        self.n += int(counts.filter(parses).sum())
        self.n_rest += int(counts.filter(~parses).sum())
        for text, count in zip(texts.filter(~parses), counts.filter(~parses), strict=True):
            if text in self.rest or len(self.rest) < MOST_REST:
                self.rest[text] += count
        read = values.drop_nulls().cast(pl.Float64).unique().sort()
        extremes = {*read.head(2), *read.tail(2), self.low, self.high}
        ordered = sorted(
            one for one in {*extremes, self.second_low, self.second_high} if np.isfinite(one)
        )
        if ordered:
            self.low, self.high = ordered[0], ordered[-1]
            self.second_low, self.second_high = ordered[:2][-1], ordered[-2:][0]


@dataclass
class Cells:
    """One column. `texts`: its values, each with its count, while there are at most MOST_TEXTS;
    `marks`: values that are usual marks of a missing one, which are counted nowhere else.
    """

    n: int = 0
    n_empty: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    has_more: bool = False  # texts than are kept
    marks: Counter[str] = field(default_factory=Counter)
    forms: dict[str, Form] = field(
        default_factory=lambda: {name: Form() for name in (NUMBER, COMMA, *FORMATS)}
    )
    longest: int = 0
    n_blank: int = 0  # cells with a blank within
    has_leading_zeros: bool = False
    has_line_breaks: bool = False
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    times: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    is_whole: bool = True  # every value is among `hashes`

    @property
    def n_full(self) -> int:
        """Cells that hold a value."""
        return self.n - self.n_empty - self.marks.total()

    @property
    def is_unique(self) -> bool:
        """No value that was kept stands twice, and none is missing."""
        return bool(self.n_full == self.n > 1 and len(self.times) and (self.times == 1).all())

    @property
    def repetition(self) -> float:
        """How often a value stands, on average."""
        return float(self.times.mean()) if len(self.times) else 0.0

    @property
    def n_texts(self) -> int:
        return len(self.texts)

    def share(self, form: str) -> float:
        """Of the cells with a value, those that parse in a form that is still tried."""
        return self.forms[form].n / self.n_full if form in self.forms and self.n_full else 0.0

    def add(self, cells: pl.Series) -> None:
        """One more block."""
        plain = cells.str.replace_all("[\u00a0\r\n]", " ").str.strip_chars().replace("", None)
        self.n += len(cells)
        self.n_empty += plain.null_count()
        self.has_line_breaks |= bool(cells.str.contains("[\r\n]").any())
        counts = plain.drop_nulls().rename("text").value_counts(name="n")
        is_mark = counts["text"].is_in(MARKS)
        self.marks.update(dict(counts.filter(is_mark).iter_rows()))
        counts = counts.filter(~is_mark)
        texts, times = counts["text"], counts["n"]
        if texts.is_empty():
            return
        self.longest = max(self.longest, int(texts.str.len_chars().max() or 0))  # type: ignore[arg-type]
        self.n_blank += int(times.filter(texts.str.contains(" ")).sum())
        self.has_leading_zeros |= bool(texts.str.contains(r"^0\d+$").any())
        self._keep_texts(counts)
        self._keep_hashes(texts.hash(seed=1).to_numpy(), times.to_numpy())
        self._read(texts, times)

    def _keep_texts(self, counts: pl.DataFrame) -> None:
        for text, count in counts.sort("n", "text", descending=[True, False]).iter_rows():
            if text in self.texts or len(self.texts) < MOST_TEXTS:
                self.texts[text] += count
            else:
                self.has_more = True

    def _keep_hashes(self, hashes: np.ndarray, times: np.ndarray) -> None:
        """The lowest hashes with their counts: a value's is kept from the first to the last block,
        or never, so that counts are exact.
        """
        merged, places = np.unique(np.concatenate([self.hashes, hashes]), return_inverse=True)
        sums = np.bincount(places, np.concatenate([self.times, times])).astype(np.int64)
        self.is_whole &= len(merged) <= MOST_HASHES
        self.hashes, self.times = merged[:MOST_HASHES], sums[:MOST_HASHES]

    def _read(self, texts: pl.Series, times: pl.Series) -> None:
        for name, form in self.forms.items():
            form.add(_values(texts, name), texts, times)
        form = self.forms.get(NUMBER) or self.forms.get(COMMA) or Form()
        form.places = max(form.places, _places(texts, "," if NUMBER not in self.forms else "."))
        if self.n_full >= _FIRST or self.n_texts >= _FIRST:
            self.forms = {
                name: form for name, form in self.forms.items() if self.share(name) >= _ALIVE
            }


def _values(texts: pl.Series, form: str) -> pl.Series:
    """As ingest reads them; null where they do not parse."""
    if form == NUMBER:
        return numbers(texts, Column(name="cell", kind="continuous"))
    if form == COMMA:
        return comma_numbers(texts)
    plain = texts
    if form == ISO_DATE:  # ingest takes midnight away
        plain = texts.str.replace(r"[T ]00:00(:00(\.0+)?)?$", "")
    if form == "%Y%m%d":
        plain = texts.set(~texts.str.contains(r"^(19|20)\d{6}$"), None)
    return dates(plain, Column(name="cell", kind="date", date_format=form)).to_physical()


def _places(texts: pl.Series, mark: str) -> int:
    """Most digits behind the decimal mark that are not zeros at the end."""
    parts = texts.str.extract(rf"^[+-]?\d*\{mark}(\d*?)0*$").str.len_chars()
    return int(parts.max() or 0)  # type: ignore[arg-type]


def shared(child: Cells, parent: Cells) -> float:
    """The share of the child's values that are values of the parent, by the hashes that both would
    keep.
    """
    limits = [cells.hashes[-1] for cells in (child, parent) if not cells.is_whole]
    hashes = child.hashes[child.hashes <= min(limits)] if limits else child.hashes
    return float(np.isin(hashes, parent.hashes).mean()) if len(hashes) else 0.0


def text_counts(cells: Cells, without: Iterable[str] = ()) -> Mapping[str, int]:
    """The values with their counts, as texts in order."""
    left_out = set(without)
    return {text: cells.texts[text] for text in sorted(cells.texts) if text not in left_out}
