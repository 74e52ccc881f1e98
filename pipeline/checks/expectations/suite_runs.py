"""Runs suites with Great Expectations, and leaves no value of a row in what they say.

Great Expectations takes seconds to import and speaks a lot: both stay in here. pandas only between
polars and its engine.
"""

from __future__ import annotations

import html
import logging
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl

from pipeline import environment
from pipeline.checks.expectations.pages import page_of
from pipeline.checks.expectations.suite_results import ExpectationResult, SuiteRun

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
ROWS_AT_ONCE = 100_000  # in pandas with all columns
UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")


def run_suite(
    suite: Suite, rows: pl.DataFrame | pl.LazyFrame, *, with_page: bool = True
) -> SuiteRun:
    """Validates `rows` against `suite` with Great Expectations' pandas engine; more than
    ROWS_AT_ONCE column by column. A check that cannot run has failed. A page takes as long again.
    """
    scan = rows.lazy()
    if int(scan.select(pl.len()).collect().item()) <= ROWS_AT_ONCE:
        result = _validate(suite, scan.collect())
    else:
        result = _by_columns(suite, scan)
    in_order = sorted(
        result.results, key=lambda one: one.expectation_config.kwargs.get("column") or ""
    )
    page = page_of(result) if with_page else ""
    return SuiteRun(suite["name"], tuple(_result_of(suite["name"], one) for one in in_order), page)


def _validate(suite: Suite, rows: pl.DataFrame) -> Any:
    """Great Expectations' result, of which counts alone are left."""
    gx = _great_expectations()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = _context().data_sources
        asset = sources.add_or_update_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("rows").get_batch(
            {"dataframe": _to_pandas(rows, _of_sets(suite))}
        )
        result = batch.validate(gx.ExpectationSuite(**suite), result_format=NO_VALUES)
        sources.delete("rows")
    _strip(result)
    return result


def _by_columns(suite: Suite, scan: pl.LazyFrame) -> Any:
    """The same result with one column (or one key) of the table in memory at a time: for each
    expectation the engine copies all columns that it has.
    """
    there = scan.collect_schema()
    by_columns: dict[tuple[str, ...], list[Any]] = {}
    for one in suite["expectations"]:
        by_columns.setdefault(_columns_of(one), []).append(one)
    # the columns themselves, and what is expected of one that is not there, are asked without rows
    result = _validate({**suite, "expectations": by_columns.pop((), [])}, scan.head(0).collect())
    for columns, some in by_columns.items():
        rows = scan.select(name for name in columns if name in there).collect()
        result.results += _of_values({**suite, "expectations": some}, rows)
    n, passed = len(result.results), sum(bool(one.success) for one in result.results)
    result.success = passed == n
    result.statistics = {
        "evaluated_expectations": n,
        "successful_expectations": passed,
        "unsuccessful_expectations": n - passed,
        "success_percent": passed / n * 100 if n else None,
    }
    return result


def _of_values(suite: Suite, rows: pl.DataFrame) -> list[Any]:
    """Results of one column or key. Where each expectation looks at one value at a time and none of
    the values that there are is against it, no row is: the rows need not be asked.
    """
    if rows.width == 1 and not any(one["type"] in UNIQUE for one in suite["expectations"]):
        values = rows.unique()
        if 2 * values.height < rows.height:
            results = _validate(suite, values).results
            if all(one.success for one in results):
                n_missing = int(rows.to_series().null_count())
                for one in results:
                    one.result |= _counts(one.result, rows.height, n_missing)
                return list(results)
    return list(_validate(suite, rows).results)


def _counts(result: Mapping[str, Any], n_rows: int, n_missing: int) -> dict[str, Any]:
    """What Great Expectations counts in so many rows of which none is unexpected."""
    if "element_count" not in result:
        return {}
    counts: dict[str, Any] = {"element_count": n_rows}
    if "missing_count" in result:
        none = 0.0 if n_rows > n_missing else None
        counts |= {"missing_count": n_missing, "missing_percent": n_missing / n_rows * 100}
        counts |= {"unexpected_percent": none, "unexpected_percent_nonmissing": none}
    return counts


def _columns_of(expectation: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns whose values an expectation looks at."""
    if expectation["type"] == "expect_table_columns_to_match_ordered_list":
        return ()
    arguments = expectation["kwargs"]
    return tuple(arguments.get("column_list") or [arguments["column"]])


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


def _of_sets(suite: Suite) -> set[str]:
    """The columns of which only a set of values is expected, and no type."""
    kinds: dict[str, set[str]] = {}
    for one in suite["expectations"]:
        kinds.setdefault(one["kwargs"].get("column", ""), set()).add(one["type"])
    return {
        column
        for column, types in kinds.items()
        if types <= {"expect_column_values_to_be_in_set", "expect_column_values_to_not_be_null"}
    }


def _to_pandas(rows: pl.DataFrame, of_sets: set[str]) -> Any:
    """Dates as nanosecond timestamps: any other unit is compared one by one. Texts of a set as
    numbered categories: each is looked up once.
    """
    texts = [name for name in of_sets if rows.schema.get(name) == pl.String]
    return rows.with_columns(
        pl.col(pl.Date).cast(pl.Datetime("ns")),
        pl.col(pl.Null).cast(pl.String),
        *(pl.col(name).cast(pl.Categorical) for name in texts),
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
