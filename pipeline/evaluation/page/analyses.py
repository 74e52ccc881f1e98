"""The section of analyses: a table of what came out the same, every finding below it, subgroups,
and hazard ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.evaluation.findings import Estimate, Finding, Verdict
from pipeline.evaluation.page import intervals, marks, parts, verdicts
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.estimate_words import estimate
from pipeline.evaluation.page.numbers import count, number, percent, plural
from pipeline.evaluation.page.verdicts import Tally

HAZARDS = "A11"  # the analysis of hazard ratios
MOST_RATIOS = 40
MOST_GROUPS = 12
MOST_LISTED = 400  # comparisons of an analysis
MOST_FURTHEST = 10  # comparisons that are shown without a click


def section(content: ReportContent) -> str:
    if not content.findings:
        return parts.paragraph("No analysis was run on both tables.")
    tallies = verdicts.tallies(content)
    rows: list[tuple[str | parts.Markup, ...]] = [
        (_heading(number, one), *_cells(one)) for number, one in tallies.items()
    ]
    header = ("analysis", "comes out", "pass", "warn", "fail", "untested", "pass share")
    explained = (
        "Each comparison has a limit that holds the sampling error of both tables: it passes up to"
        " the limit, warns up to twice the limit, and fails beyond; with too few real patients it"
        f" is untested. An analysis passes where {percent(verdicts.ENOUGH)} of its comparisons do,"
        " and warns where that many pass or warn."
    )
    listings = [_listing(content, number, one) for number, one in tallies.items()]
    return (
        parts.table(header, rows)
        + parts.paragraph(explained, "soft")
        + _furthest(content)
        + "<h3>Every comparison</h3>"
        + "".join(listings)
        + _groups(content)
    )


def _furthest(content: ReportContent) -> str:
    """The comparisons that are furthest beyond their limit."""
    beyond = [one for one in content.findings if one.verdict in (Verdict.WARN, Verdict.FAIL)]
    if not beyond:
        return ""
    beyond.sort(key=lambda one: -one.distance / one.limit if one.limit > 0 else -math.inf)
    return "<h3>Furthest beyond their limit</h3>" + findings_table(beyond[:MOST_FURTHEST])


def _cells(one: Tally) -> list[parts.Markup]:
    counts = (one.n_pass, one.n_warn, one.n_fail, one.n_untested)
    return [
        parts.Markup(parts.chip(one.verdict)),
        *(parts.figure_cell(count(n)) for n in counts),
        parts.figure_cell(percent(one.pass_share)),
    ]


def _listing(content: ReportContent, analysis: str, one: Tally) -> str:
    findings = verdicts.by_analysis(content)[analysis]
    numbers = {
        Verdict.PASS: one.n_pass,
        Verdict.WARN: one.n_warn,
        Verdict.FAIL: one.n_fail,
        Verdict.UNTESTED: one.n_untested,
    }
    chips = " ".join(parts.chip(kind, n) for kind, n in numbers.items() if n)
    name = parts.text(_heading(analysis, one))
    return parts.details(f"<b>{name}</b> {chips}", findings_table(findings))


def _heading(number: str, one: Tally) -> str:
    """ "A7: Survival curves"; an analysis without a name has its number in the name."""
    return one.name if number in one.name else f"{number}: {one.name}"


def findings_table(findings: Sequence[Finding]) -> str:
    """The worst first; of very many the others are in the JSON."""
    rank = {verdict: place for place, verdict in enumerate(verdicts.ORDER)}
    ordered = sorted(findings, key=lambda one: rank[one.verdict])[:MOST_LISTED]
    measures = list(dict.fromkeys(one.measure for one in ordered))
    header = ["comparison", "verdict", "real", "synthetic", "distance", "limit"]
    rows: list[list[str | parts.Markup]] = [
        [
            _what(one),
            parts.Markup(parts.chip(one.verdict)),
            parts.figure_cell(estimate(one.real, one.unit)),
            parts.figure_cell(estimate(one.synthetic, one.unit)),
            parts.figure_cell(number(one.distance)),
            parts.figure_cell(number(one.limit)),
        ]
        for one in ordered
    ]
    note = f"Distance: {measures[0]}." if len(measures) == 1 else ""
    if len(measures) > 1:
        header.append("distance is")
        rows = [[*row, one.measure] for row, one in zip(rows, ordered, strict=True)]
    if len(findings) > len(ordered):
        further = plural(len(findings) - len(ordered), "comparison")
        note = f"{note} {further} more: see the JSON beside this page.".strip()
    return parts.table(header, rows) + (parts.paragraph(note, "soft") if note else "")


def _what(one: Finding) -> parts.Markup:
    group = f'<br><span class="soft">{parts.text(one.group)}</span>' if one.group else ""
    return parts.Markup(parts.text(one.what) + group)


def _groups(content: ReportContent) -> str:
    every = verdicts.groups(content)
    if not every:
        return ""
    rows = [
        (
            one.name,
            parts.figure_cell(count(one.n_tested)),
            parts.figure_cell(count(one.n_fail)),
            parts.figure_cell(percent(one.fail_share)),
        )
        for one in every[:MOST_GROUPS]
    ]
    note = f"The worst first, of {plural(len(every), 'subgroup')} with enough comparisons."
    return (
        "<h3>Subgroups</h3>"
        + parts.paragraph(note, "soft")
        + parts.table(("subgroup", "compared", "fail", "share that fails"), rows)
    )


def forest(content: ReportContent) -> str:
    """Hazard ratios, real and synthetic; empty where there are none."""
    findings = [
        one
        for one in content.findings
        if one.analysis == HAZARDS and one.real is not None and one.synthetic is not None
    ][:MOST_RATIOS]
    if not findings:
        return ""
    rows = [
        intervals.Row(
            f"{one.group}: {one.what}" if one.group else one.what, one.real, one.synthetic
        )
        for one in findings
    ]
    unit = next((one.unit for one in findings if one.unit), "hazard ratio")
    values = [value for row in rows for value in _values(row)]
    is_ratio = all(value > 0 for value in values)
    picture = intervals.plot(
        "Forest plot of hazard ratios",
        f"{len(rows)} ratios with their 95% intervals; the table of {HAZARDS} has the numbers.",
        rows,
        estimate,
        unit=unit,
        is_log=is_ratio,
        reference=1.0 if is_ratio else 0.0,
    )
    return marks.intervals(content.real_name, marks.SYNTHETIC_NAME) + parts.figure(
        picture, "Hazard ratios with 95% intervals", "the line at 1: no difference", "dots"
    )


def _values(row: intervals.Row) -> list[float]:
    pair: tuple[Estimate | None, ...] = (row.first, row.second)
    return [one.value for one in pair if one is not None and one.value == one.value]
