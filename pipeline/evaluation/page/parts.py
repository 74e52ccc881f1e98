"""Pieces of the page: tables, verdicts, figures. Every text that comes in is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.evaluation.findings import Verdict
from pipeline.evaluation.page import svg

# shape and word, so that no verdict is told by its colour alone
SHAPES: Mapping[Verdict, tuple[str, str]] = MappingProxyType(
    {
        Verdict.PASS: ("●", "Pass"),
        Verdict.WARN: ("▲", "Warn"),
        Verdict.FAIL: ("■", "Fail"),
        Verdict.UNTESTED: ("○", "Untested"),
    }
)


@dataclass(frozen=True)
class Section:
    """A part of the page with its heading; `body` is HTML."""

    anchor: str
    heading: str
    body: str


@dataclass(frozen=True)
class Markup:
    """HTML that is ready and is not escaped again; `is_number` stands at the right."""

    text: str
    is_number: bool = False


def figure_cell(words: str) -> Markup:
    """A number in words, at the right of its cell."""
    return Markup(html.escape(words), is_number=True)


def text(words: str) -> str:
    return html.escape(words)


def paragraph(words: str, css: str = "") -> str:
    return f"<p{_css(css)}>{html.escape(words)}</p>"


def _css(name: str) -> str:
    return f' class="{name}"' if name else ""


def _is_number(cell: str | Markup) -> bool:
    return isinstance(cell, Markup) and cell.is_number


def table(header: Sequence[str], rows: Iterable[Sequence[str | Markup]], caption: str = "") -> str:
    """A table that scrolls sideways where it is wider than the page; its first column names each
    row. A heading stands over its numbers.
    """
    lines = list(rows)
    at_right = [any(_is_number(row[i]) for row in lines) for i in range(len(header))]
    head = "".join(
        f'<th scope="col"{_css("n" if right else "")}>{html.escape(name)}</th>'
        for name, right in zip(header, at_right, strict=True)
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in lines)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return scroll(
        f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        caption or " and ".join(name for name in header[:2] if name),
    )


def _cells(row: Sequence[str | Markup]) -> str:
    first, *others = [_content(one) for one in row]
    cells = "".join(f"<td{css}>{body}</td>" for body, css in others)
    return f'<th scope="row"{first[1]}>{first[0]}</th>{cells}'


def _content(cell: str | Markup) -> tuple[str, str]:
    if isinstance(cell, Markup):
        return cell.text, _css("n" if cell.is_number else "")
    return html.escape(cell), ""


def scroll(body: str, name: str) -> str:
    """Scrolls on its own, by keyboard too."""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{html.escape(name)}">'
        f"{body}</div>"
    )


def chip(verdict: Verdict, n: int | None = None) -> str:
    """A verdict as shape and word, or as shape and how many."""
    shape, word = SHAPES[verdict]
    words = word if n is None else f"{n:,} {word.lower()}"
    return (
        f'<span class="chip {verdict.value}"><span aria-hidden="true">{shape}</span> {words}</span>'
    )


def details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>{body}</details>"


def figure(picture: str, caption: str, note: str = "", css: str = "") -> str:
    """A plot under its caption. A `wide` one keeps its size and scrolls on a narrow screen; the
    text of `dots` grows there.
    """
    plot = scroll(picture, caption) if css == "wide" else picture
    small = f'<span class="soft"> {html.escape(note)}</span>' if note else ""
    head = f"<figcaption><b>{html.escape(caption)}</b>{small}</figcaption>"
    return f"<figure{_css(css)}>{head}{plot}</figure>"


def grid(figures: Iterable[str], css: str = "plots") -> str:
    return f'<div class="{css}">{"".join(figures)}</div>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """What marks mean, above the plots: (SVG of a mark 26 by 14, words)."""
    items = "".join(f"<li>{_mark(mark, words)}{html.escape(words)}</li>" for mark, words in entries)
    return f'<ul class="legend">{items}</ul>'


def _mark(body: str, words: str) -> str:
    return svg.picture(f"Mark: {words}", "", 26, 14, body).replace("<desc></desc>", "")


def slug(words: str) -> str:
    """Small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "none"
