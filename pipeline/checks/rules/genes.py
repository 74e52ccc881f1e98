"""Clinical rule 52: gene tests."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where
from pipeline.checks.rules.registry import GENE, Registry, number, text
from pipeline.schema.codes.gene_panel import NOT_APPLICABLE, RESULT_COLUMNS

SEQUENCE = ("NO_OF_SEQ_VARS", "ALL_SEQ_VARS", "SEQ_VAR")


def gene_tests(registry: Registry, context: RuleContext) -> Finding:
    """Dates in order, counts in order, as many abnormalities as said, and sequence variants only
    with a sequencing result.
    """
    rows = registry[GENE]
    first, overall, last = (
        pl.col(column) for column in ("MIN_DATE", "DATE_OVERALL_TS", "MAX_DATE")
    )
    dates = (
        (first > overall).fill_null(False)
        | (overall > last).fill_null(False)
        | (first > last).fill_null(False)
    )
    tests, dated, abnormal = number("COUNT_TESTS"), number("COUNT_DATE"), number("NO_OF_AB_GATS")
    counts = (tests < dated).fill_null(False) | (dated < 1).fill_null(False)
    count = pl.sum_horizontal(_is_abnormal(column) for column in RESULT_COLUMNS)
    gats = (abnormal != count).fill_null(count > 0) | (~abnormal.is_between(0, 5)).fill_null(False)
    variants = pl.any_horizontal(
        pl.col(column).is_not_null() for column in SEQUENCE if column in rows.columns
    ) & text("DNASEQ_GAT").fill_null(NOT_APPLICABLE).eq(NOT_APPLICABLE)
    return rows_where(rows, dates | counts | gats | variants)


def _is_abnormal(column: str) -> pl.Expr:
    """1 where a kind of test found something definite: `a:`, `aa:` and the like (borderline does
    not count).
    """
    return text(column).str.contains("^a[abc]?:").fill_null(False).cast(pl.Int64)


RULES = (
    Rule(
        number=52,
        title=(
            "Gene tests: dates and counts in order, abnormalities counted, sequence variants only"
            " where sequenced"
        ),
        severity="F",
        check=gene_tests,
        reads={
            GENE: [
                "MIN_DATE",
                "DATE_OVERALL_TS",
                "MAX_DATE",
                "COUNT_TESTS",
                "COUNT_DATE",
                "NO_OF_AB_GATS",
                *RESULT_COLUMNS,
            ]
        },
    ),
)
