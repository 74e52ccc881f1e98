"""Runs suites with Great Expectations and writes their data docs, without a single value of a row
in either.

Great Expectations takes seconds to import and speaks a lot: both stay in here. pandas only between
polars and its engine.
"""

from __future__ import annotations

import html
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import environment, files

Suite = dict[str, Any]  # the JSON that Great Expectations reads
COUNTS = (
    "element_count",
    "unexpected_count",
    "unexpected_percent",
    "missing_count",
    "missing_percent",
    "unexpected_percent_total",
    # all that is kept of a result: no observed value, no list of unexpected ones
    "unexpected_percent_nonmissing",
)
NO_VALUES = {"result_format": "BASIC", "partial_unexpected_count": 0}
STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}
.pass{color:#0a6}.warn{color:#b70}.fail{color:#c22}nav,.modal,.footer{display:none}</style>"""


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation on one table. Counts are restricted where the rows are patients'."""

    suite: str
    kind: str
    column: str | None
    rule: str | None
    severity: str
    passed: bool
    counts: Mapping[str, float]

    @property
    def name(self) -> str:
        """What was expected of which column, for a message: nothing of the rows."""
        where = f"{self.suite}.{self.column}" if self.column else self.suite
        return (
            f"rule {self.rule}"
            if self.rule
            else f"{where}: {self.kind.removeprefix('expect_').replace('_', ' ')}"
        )


@dataclass(frozen=True)
class SuiteRun:
    """What one suite said about one table; `page` is its data docs."""

    name: str
    results: tuple[ExpectationResult, ...]
    page: str = field(repr=False)

    @property
    def failures(self) -> tuple[ExpectationResult, ...]:
        return tuple(one for one in self.results if not one.passed)


def run_suite(suite: Suite, rows: pl.DataFrame, *, with_page: bool = True) -> SuiteRun:
    """Validates `rows` against `suite` with Great Expectations' pandas engine. A check that cannot
    run has failed. A page takes as long again.
    """
    gx = _great_expectations()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = _context().data_sources
        asset = sources.add_or_update_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("rows").get_batch(
            {"dataframe": _to_pandas(rows)}
        )
        result = batch.validate(gx.ExpectationSuite(**suite), result_format=NO_VALUES)
        sources.delete("rows")
        _strip(result)
        in_order = sorted(
            result.results, key=lambda one: one.expectation_config.kwargs.get("column") or ""
        )
        page = _page(result) if with_page else ""
    return SuiteRun(suite["name"], tuple(_result_of(suite["name"], one) for one in in_order), page)


def failed_run(suite: Suite) -> SuiteRun:
    """What stands in for a suite that raised an exception: one failed expectation, and a page that
    says so. Nothing of the rows.
    """
    failure = ExpectationResult(
        suite=suite["name"],
        kind="could not run",
        column=None,
        rule=None,
        severity="F",
        passed=False,
        counts={},
    )
    return SuiteRun(
        suite["name"],
        (failure,),
        "<!DOCTYPE html><html lang='en'><body>"
        f"<p>{html.escape(suite['name'])}: could not run</p></body></html>",
    )


@cache
def _great_expectations() -> Any:
    """The module, silenced and with its analytics off."""
    environment.silence_great_expectations()
    # it speaks while it is imported
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations
    # some of its loggers have a level of their own
    for name in ["great_expectations", *logging.root.manager.loggerDict]:
        if name.split(".")[0] == "great_expectations":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return great_expectations


@cache
def _context() -> Any:
    """One context in memory for all runs of the process; each run takes its rows out again."""
    context = _great_expectations().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _to_pandas(rows: pl.DataFrame) -> Any:
    """Dates as nanosecond timestamps: any other unit is compared one by one."""
    return rows.with_columns(
        pl.col(pl.Date).cast(pl.Datetime("ns")), pl.col(pl.Null).cast(pl.String)
    ).to_pandas()


def _strip(result: Any) -> None:
    """Leaves counts only in a result, and no text of an exception, which may quote a value."""
    for one in result.results:
        counts = {name: value for name, value in one.result.items() if name in COUNTS}
        columns = one.expectation_config.kwargs.get("column_list", [])
        # the page is built in the order of columns; a foreign name is not repeated
        if isinstance(one.result.get("observed_value"), list):
            counts["observed_value"] = [
                name if name in columns else "(not declared)"
                for name in one.result["observed_value"]
            ]
        one.result = counts
        has_raised = (
            "raised_exception" not in one.exception_info or one.exception_info["raised_exception"]
        )
        message = "the check could not run" if has_raised else None
        one.exception_info = {
            "raised_exception": bool(has_raised),
            "exception_traceback": message,
            "exception_message": message,
        }
        if has_raised:
            one.success = False


def _result_of(suite: str, one: Any) -> ExpectationResult:
    config = one.expectation_config
    meta = config.meta or {}
    return ExpectationResult(
        suite=suite,
        kind=config.type,
        column=config.kwargs.get("column"),
        rule=meta.get("rule"),
        severity=meta.get("severity", "F"),
        passed=bool(one.success),
        counts={
            name: float(value)
            for name, value in one.result.items()
            if name in COUNTS and value is not None
        },
    )


def _page(result: Any) -> str:
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
