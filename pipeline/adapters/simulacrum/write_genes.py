"""SIM_AV_GENE: one row per gene tested on the first tumour, from its GENE_TEST event."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipeline.adapters.simulacrum.key_numbers import patient_number, tumour_number
from pipeline.schema.codes import gene_panel
from pipeline.schema.codes.gene_panel import ABNORMAL, BORDERLINE, NORMAL
from pipeline.schema.patient_log import ID


def genes(patients: pl.DataFrame, dated: pl.DataFrame) -> pl.DataFrame:
    """A second test of the same gene has no row: the table holds one row per tumour and gene."""
    rows = (
        dated.filter(pl.col("type") == "GENE_TEST")
        .sort(ID, "seq")
        .unique([ID, "code"], keep="first", maintain_order=True)
    )
    rows = rows.join(_panel(), on="code", how="inner", maintain_order="left").with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).over(ID) + 1).alias("nth")
    )
    status = pl.col("gene_status").fill_null(pl.lit(gene_panel.UNKNOWN))
    is_abnormal, has_result = (
        (status == ABNORMAL).fill_null(False),
        status.is_in((ABNORMAL, NORMAL, BORDERLINE)).fill_null(False),
    )
    result = (
        pl.when(is_abnormal)
        .then("abnormal")
        .when(status == BORDERLINE)
        .then("borderline")
        .when(has_result)
        .then("normal")
    )
    one = pl.lit(1, pl.Int64)
    return rows.select(
        ID,
        pl.format("G{}", tumour_number(pl.lit(1)) * 100 + pl.col("nth")).alias("GENEID"),
        tumour_number(pl.lit(1)).alias("TUMOURID"),
        patient_number().alias("PATIENTID"),
        pl.col("code").alias("GENE_DESC"),
        "GENE",
        one.alias("COUNT_TESTS"),
        has_result.cast(pl.Int64).alias("COUNT_RESULTS"),
        one.alias("COUNT_DATE"),
        status.alias("ALL_TESTSTATUSES"),
        status.alias("OVERALL_TS"),
        is_abnormal.cast(pl.Int64).alias("NO_OF_AB_GATS"),
        *(
            pl.when(pl.col("kind") == kind)
            .then(result)
            .fill_null(pl.lit(gene_panel.NOT_APPLICABLE))
            .alias(kind)
            for kind in gene_panel.RESULT_COLUMNS
        ),
        pl.when(is_abnormal).then("abnormality").alias("ABNORMAL_GAT"),
        *(pl.col("date").alias(name) for name in ("DATE_OVERALL_TS", "MIN_DATE", "MAX_DATE")),
    )


@cache
def _panel() -> pl.DataFrame:
    """code, GENE, kind (the column of the result), its values where abnormal, normal and
    borderline, and ABNORMAL_GAT: one row per gene of the panel.
    """
    rows = [
        (
            gene.symbol,
            gene.code,
            gene.kind,
            gene.abnormal,
            gene.normal,
            gene.borderline,
            gene.abnormality,
        )
        for gene in gene_panel.genes().values()
    ]
    names = ("code", "GENE", "kind", "abnormal", "normal", "borderline", "abnormality")
    return pl.DataFrame(
        rows,
        schema={name: pl.Int64 if name == "GENE" else pl.String for name in names},
        orient="row",
    )
