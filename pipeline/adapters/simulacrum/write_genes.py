"""SIM_AV_GENE: one row per gene tested on the first tumour, from its GENE_TEST event."""

from __future__ import annotations

import polars as pl

from pipeline.schema.codes import gene_panel
from pipeline.schema.patient_log import ID

KINDS = ("DNASEQ_GAT", "METHYL_GAT", "EXP_GAT", "COPYNO_GAT", "FUS_TRANS_GAT")
ABNORMAL, NORMAL = "a:abnormal", "b:normal"


def genes(patients: pl.DataFrame, dated: pl.DataFrame) -> pl.DataFrame:
    """A second test of the same gene has no row: the table holds one row per tumour and gene."""
    rows = (
        dated.filter(pl.col("type") == "GENE_TEST")
        .sort(ID, "seq")
        .unique([ID, "code"], keep="first", maintain_order=True)
    )
    codes = pl.DataFrame(
        [(gene.symbol, gene.code, gene.kind) for gene in gene_panel.genes().values()],
        schema={"code": pl.String, "GENE": pl.Int64, "kind": pl.String},
        orient="row",
    )
    rows = rows.join(codes, on="code", how="inner", maintain_order="left").with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64).over(ID) + 1).alias("nth")
    )
    status = pl.col("gene_status")
    is_abnormal, has_result = (
        (status == ABNORMAL).fill_null(False),
        status.is_in((ABNORMAL, NORMAL)).fill_null(False),
    )
    result = pl.when(is_abnormal).then(pl.lit("abnormal")).when(has_result).then(pl.lit("normal"))
    one = pl.lit(1, pl.Int64)
    return rows.select(
        ID,
        ((pl.col(ID) * 10 + 1) * 100 + pl.col("nth")).cast(pl.String).alias("GENEID"),
        (pl.col(ID) * 10 + 1).alias("TUMOURID"),
        pl.col(ID).alias("PATIENTID"),
        pl.col("code").alias("GENE_DESC"),
        "GENE",
        one.alias("COUNT_TESTS"),
        has_result.cast(pl.Int64).alias("COUNT_RESULTS"),
        one.alias("COUNT_DATE"),
        status.alias("ALL_TESTSTATUSES"),
        status.alias("OVERALL_TS"),
        is_abnormal.cast(pl.Int64).alias("NO_OF_AB_GATS"),
        *(pl.when(pl.col("kind") == kind).then(result).alias(kind) for kind in KINDS),
        pl.when(is_abnormal).then("kind").alias("ABNORMAL_GAT"),
        *(pl.col("date").alias(name) for name in ("DATE_OVERALL_TS", "MIN_DATE", "MAX_DATE")),
    )
