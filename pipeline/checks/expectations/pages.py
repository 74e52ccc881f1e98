"""Data docs: Great Expectations' own page of each result, and an index. They hold counts, no value
of a row, open offline and call nobody.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.checks.expectations.suite_results import SuiteRun

STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}
.pass{color:#0a6}.warn{color:#b70}.fail{color:#c22}nav,.modal,.footer{display:none}</style>"""


def page_of(result: Any) -> str:
    """Great Expectations' own page of a result, without its scripts, fonts and links to other
    hosts: it opens offline and calls nobody.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    page = _view().render(ValidationResultsPageRenderer().render(result))
    page = re.sub(r"(?s)<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<svg\b.*?</svg>", "", page)
    page = re.sub(r"https?://[^\s\"'<>)]*", "#", page)
    return page.replace("</head>", STYLE + "</head>", 1)


@cache
def _view() -> Any:
    """One view for all pages: it compiles its templates once."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def write_docs(
    folder: Path,
    runs: Sequence[SuiteRun],
    title: str,
    rules: Sequence[Mapping[str, Any]] = (),
    report: str = "",
) -> None:
    """`index.html` and a page per suite below `folder`. `rules`: id, title, severity, status (and
    counts, where the zone allows). `report`: relative path of a report to which the page links.
    """
    for run in runs:
        files.write_text(folder / f"{run.name}.html", run.page)
    suites = "".join(_suite_row(run) for run in runs)
    head = "<tr><th>suite</th><th>expectations</th><th>failed</th></tr>"
    link = (
        f"<p><a href='{html.escape(report)}'>The report of this release</a></p>" if report else ""
    )
    body = f"<h1>{html.escape(title)}</h1>{link}<h2>Suites</h2><table>{head}{suites}</table>"
    if rules:
        names = "".join(f"<th>{html.escape(name)}</th>" for name in rules[0])
        rows = "".join(_row(rule) for rule in rules)
        body += f"<h2>Clinical rules</h2><table><tr>{names}</tr>{rows}</table>"
    page = (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title>{STYLE}</head><body>{body}</body></html>"
    )
    files.write_text(folder / "index.html", page)


def _suite_row(run: SuiteRun) -> str:
    name, answer = html.escape(run.name), "fail" if run.failures else "pass"
    return (
        f"<tr><td><a href='{name}.html'>{name}</a></td><td>{len(run.results)}</td>"
        f"<td class='{answer}'>{len(run.failures)}</td></tr>"
    )


def _row(rule: Mapping[str, Any]) -> str:
    cells = "".join(
        f"<td class='{html.escape(str(rule['status']))}'>{html.escape(_cell(value))}</td>"
        for value in rule.values()
    )
    return f"<tr>{cells}</tr>"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
