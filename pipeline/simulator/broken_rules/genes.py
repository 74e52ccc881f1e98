"""Breaches of the rules on gene tests."""

import polars as pl

from pipeline.simulator.broken_rules.edits import (
    GENE,
    NUMBER,
    Breach,
    days,
    put,
)


def wrong_gene_tests() -> tuple[Breach, ...]:
    """Gene tests of no tumour, or before their time."""
    first = pl.col(NUMBER) == 0
    return (
        Breach(
            rule="04",
            what="gene test of an unknown tumour",
            table=GENE,
            where=first,
            edit=put(GENE, TUMOURID="1"),
        ),
        Breach(
            rule="52",
            what="gene test before its first date",
            table=GENE,
            where=first,
            edit=put(GENE, MIN_DATE=days("MAX_DATE", 40)),
        ),
    )
