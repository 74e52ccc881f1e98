"""Clinical rule 52: gene tests."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.model import Finding, Rule, RuleContext, rows_where
from pipeline.checks.rules.registry import GENE, Registry, number, text

ABNORMALITIES = ("DNASEQ_GAT", "METHYL_GAT", "EXP_GAT", "COPYNO_GAT", "FUS_TRANS_GAT")
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
    count = pl.sum_horizontal(_is_abnormal(column) for column in ABNORMALITIES)
    gats = (abnormal != count).fill_null(count > 0) | (~abnormal.is_between(0, 5)).fill_null(False)
    variants = (
        pl.any_horizontal(
            pl.col(column).is_not_null() for column in SEQUENCE if column in rows.columns
        )
        & pl.col("DNASEQ_GAT").is_null()
    )
    return rows_where(rows, dates | counts | gats | variants)


def _is_abnormal(column: str) -> pl.Expr:
    """1 where a kind of test found something: the column says so, or names what; `normal` and a
    missing value do not.
    """
    return (
        pl.col(column).is_not_null()
        & ~text(column).str.contains("(?i)^(b:)?normal$|fail|not tested")
    ).cast(pl.Int64)


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
                *ABNORMALITIES,
            ]
        },
    ),
)
