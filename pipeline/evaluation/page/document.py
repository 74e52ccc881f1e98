"""The custodian's report as one page. Restricted, because it shows figures of real patients."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.evaluation.findings import Verdict
from pipeline.evaluation.page import (
    analyses,
    attacks,
    distributions,
    flow,
    heat,
    marks,
    parts,
    survival,
    tables,
    verdicts,
)
from pipeline.evaluation.page.content import GateWarning, ReportContent
from pipeline.evaluation.page.numbers import plural
from pipeline.evaluation.page.parts import Section
from pipeline.evaluation.page.style import STYLE
from pipeline.refusal import Refusal

BANNER = "Restricted: shows figures of real patients. It does not leave the restricted zone."
SUBTITLE = "Synthetic patients beside real ones, for the custodian"


def page(content: ReportContent) -> str:
    """The whole document; the same bytes for the same content."""
    sections = list(_sections(content))
    body = "".join(
        f'<section aria-labelledby="{one.anchor}"><h2 id="{one.anchor}">{parts.text(one.heading)}'
        f"</h2>{one.body}</section>"
        for one in sections
    )
    contents = "".join(
        f'<li><a href="#{one.anchor}">{parts.text(one.heading)}</a></li>' for one in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{parts.text(content.title)}: report</title><style>{STYLE}</style></head><body>"
        f'<header><p class="banner">{BANNER}</p><h1>{parts.text(content.title)}</h1>'
        f'<p class="soft">{SUBTITLE}. Release {parts.text(content.release)}.</p></header><main>'
        f"{_verdict(content)}{_tiles(content)}{_warnings(content)}{_faults(content)}"
        f'<nav aria-label="Contents"><h2>Contents</h2><ol>{contents}</ol></nav>{body}'
        "</main></body></html>"
    )


def _verdict(content: ReportContent) -> str:
    lines = "".join(f"<p>{parts.text(one)}</p>" for one in verdicts.sentences(content))
    return f'<section class="verdict"><h2>Verdict</h2>{lines}</section>'


def _tiles(content: ReportContent) -> str:
    """The verdict at a glance: shape, words and colour."""
    judged = [
        one for one in verdicts.tallies(content).values() if one.verdict is not Verdict.UNTESTED
    ]
    n_same = sum(one.verdict is Verdict.PASS for one in judged)
    n_fail = sum(one.verdict is Verdict.FAIL for one in judged)
    n_above = sum(one.is_found for one in content.risks)
    n_warnings = len(content.warnings)
    tiles = [
        _tile(
            _grade(len(judged), n_fail, len(judged) - n_same),
            f"{n_same} of {len(judged)}" if judged else "not compared",
            "analyses come out the same" if judged else "analyses on both tables",
        ),
        _tile(
            _grade(1, 0, n_warnings),
            plural(n_warnings, "warning") if n_warnings else "no warning",
            "of the gate on synthetic rows",
        ),
        _tile(
            _grade(len(content.risks), n_above, 0),
            f"{n_above} of {len(content.risks)}" if content.risks else "not tried",
            "attacks succeed above their control" if content.risks else "attacks",
        ),
    ]
    groups = verdicts.groups(content)
    if groups:
        name = groups[0].name if groups[0].n_fail else "none fails"
        tiles.append(_tile(_grade(1, 0, groups[0].n_fail), name, "weakest subgroup"))
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _grade(n: int, n_fail: int, n_warn: int) -> Verdict:
    if not n:
        return Verdict.UNTESTED
    return Verdict.FAIL if n_fail else Verdict.WARN if n_warn else Verdict.PASS


def _tile(grade: Verdict, figure: str, words: str) -> str:
    shape, _ = parts.SHAPES[grade]
    return (
        f'<li class="tile {grade.value}"><b><span aria-hidden="true">{shape}</span>'
        f' {parts.text(figure)}</b><span class="what">{parts.text(words)}</span></li>'
    )


def _warnings(content: ReportContent) -> str:
    heading = '<h2 id="warnings">What the gate warns of</h2>'
    if not content.warnings:
        return f"<section>{heading}{parts.paragraph('The gate warns of nothing.')}</section>"
    items = "".join(f"<li>{_warning(one)}</li>" for one in content.warnings)
    return f'<section>{heading}<ul class="warnings">{items}</ul></section>'


def _faults(content: ReportContent) -> str:
    """What is lacking on this page."""
    items = "".join(f"<li>{parts.text(one)}</li>" for one in content.faults)
    heading = '<h2 id="faults">What could not be made</h2>'
    return f'<section>{heading}<ul class="warnings">{items}</ul></section>' if items else ""


def _warning(one: GateWarning) -> str:
    share = f" {one.share}." if one.share else ""
    allowed = f" Expected: {one.expected}." if one.allowed else ""
    ground = "Seen in synthetic rows alone." if one.rests_on_synthetic else "Beside real patients."
    return (
        f"<b>{parts.text(one.words.rstrip('.'))}.</b>{share}{allowed}"
        f' <span class="soft">{ground} ({parts.text(one.rule)})</span>'
    )


def _sections(content: ReportContent) -> Iterator[Section]:
    if content.account:
        yield Section("ingest", "What ingest kept and dropped", _ready(content.account))
    yield Section("analyses", "Analyses", analyses.section(content))
    if ratios := analyses.forest(content):
        yield Section("hazards", "Hazard ratios", ratios)
    has_rows = not content.real.patients.is_empty() and not content.synthetic.patients.is_empty()
    if has_rows:
        yield from _pathways(content)
        yield from _columns(content)
    else:
        yield Section("columns", "Columns", parts.paragraph("There are no patients to compare."))
    yield Section("fidelity", "Fidelity between two bounds", tables.fidelity(content))
    yield Section("utility", "Models learned on synthetic patients", tables.utility(content))
    yield Section("attacks", "Attacks: who could be found", attacks.section(content))
    if has_rows:
        yield Section("independent", "Pairs drawn independently", tables.independent(content))
        yield Section("missing", "Missing values", tables.missing(content))
    for place, (heading, html) in enumerate(content.further.items()):
        yield Section(f"further{place}", heading, _ready(html))
    if content.same_code:
        yield Section("same-code", "The same code", _ready(content.same_code))
    if content.links:
        yield Section("links", "Other pages", _links(content))


def _pathways(content: ReportContent) -> Iterator[Section]:
    """For data with events."""
    events = content.schema.events
    if events is None or content.real.events is None or content.synthetic.events is None:
        return
    if content.real.events.is_empty() or content.synthetic.events.is_empty():
        return
    if events.terminal:
        curves = parts.grid(survival.figures(content))
        head = parts.paragraph(survival.explanation(content), "soft")
        yield Section("survival", "Survival", head + marks.curves(content.real_name) + curves)
    kind = "treatment" if events.treatments else "event"
    diagrams, ways = flow.figures(content)
    explained = parts.paragraph(
        f"From left to right: the first, second and third {kind}, and the end. Each band is as high"
        " as the share of patients who go that way.",
        "soft",
    )
    yield Section("flow", f"Flow of {kind}s", explained + parts.grid(diagrams, "pairs") + ways)
    yield Section("transitions", "What follows what", heat.transition_section(content, events))
    yield Section("waiting", "Waiting times", tables.waiting(content))


def _columns(content: ReportContent) -> Iterator[Section]:
    categories, numbers = (
        distributions.figures(content, numeric=numeric) for numeric in (False, True)
    )
    body = ""
    note = "Of two shares beside each other the first is of the real patients."
    if categories:
        body += parts.paragraph(note, "soft") + marks.bars(content.real_name)
        body += parts.grid(categories)
    if numbers:
        body += "<h3>Numbers and dates</h3>" + marks.outlines(content.real_name)
        body += parts.grid(numbers)
    if body:
        yield Section("columns", "Columns, one by one", body)
    yield Section("pairs", "Pairs of columns", heat.pair_section(content))


def _ready(html: str) -> str:
    """HTML of the restricted zone; its tables scroll, too."""
    return html.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )


def _links(content: ReportContent) -> str:
    items = []
    for words, target in content.links.items():
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", target):
            raise Refusal(f"{target}: a link of the report leads to a file beside it")
        items.append(f'<li><a href="{parts.text(target)}">{parts.text(words)}</a></li>')
    return f"<ul>{''.join(items)}</ul>"
