"""The section of attacks: how often each succeeds beside its control, and what that shows."""

from __future__ import annotations

from pipeline.evaluation.findings import Risk, Verdict
from pipeline.evaluation.page import intervals, marks, parts
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.estimate_words import estimate, shares
from pipeline.evaluation.page.numbers import count, percent
from pipeline.schema.words import column_title

FIRST, SECOND = "patients trained on", "patients not trained on (control)"


def section(content: ReportContent) -> str:
    if not content.risks:
        return parts.paragraph("No attack was tried. The guarantee does not rest on attacks.")
    rows = [intervals.Row(_name(content, one), one.rate, one.control) for one in content.risks]
    picture = intervals.plot(
        "Success of attacks",
        "Share of attempts that succeed, on patients who were trained on and on others.",
        rows,
        shares,
        unit="share of attempts that succeed",
        reference=0.0,
        tick=percent,
    )
    lines = [
        (
            _name(content, one),
            parts.Markup(_answer(one.is_found)),
            parts.figure_cell(shares(one.rate)),
            parts.figure_cell(shares(one.control)),
            parts.figure_cell(estimate(one.advantage)),
            parts.figure_cell(count(one.attempts)),
        )
        for one in content.risks
    ]
    header = ("attack", "above the control", "trained on", "control", "advantage", "attempts")
    meanings = "".join(
        f"<dt>{parts.text(_name(content, one))}</dt><dd><b>Shows:</b> {parts.text(one.shows)}</dd>"
        f"<dd><b>Cannot show:</b> {parts.text(one.cannot_show)}</dd>"
        for one in content.risks
    )
    return (
        marks.intervals(FIRST, SECOND)
        + parts.figure(picture, "Success of each attack, with 95% intervals", css="dots")
        + parts.table(header, lines)
        + f"<h3>What each attack shows, and what it cannot show</h3><dl>{meanings}</dl>"
    )


def _name(content: ReportContent, risk: Risk) -> str:
    """ "inference of Stage group": a column by its title."""
    what, of, name = risk.attack.partition(" of ")
    column = content.schema.patients.get(name)
    return f"{what}{of}{column_title(column)}" if column is not None else risk.attack


def _answer(is_found: bool) -> str:
    """An attack that succeeds is a failure of ours."""
    verdict = Verdict.FAIL if is_found else Verdict.PASS
    shape, _ = parts.SHAPES[verdict]
    word = "Above" if is_found else "Not above"
    return (
        f'<span class="chip {verdict.value}"><span aria-hidden="true">{shape}</span> {word}</span>'
    )
