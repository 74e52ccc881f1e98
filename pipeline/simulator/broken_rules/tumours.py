"""Breaches of the rules on tumours."""

from datetime import date, timedelta

import polars as pl

from pipeline.simulator.broken_rules.edits import (
    NUMBER,
    TUMOUR,
    Breach,
    days,
    put,
    twice,
)


def wrong_ages_and_stages() -> tuple[Breach, ...]:
    """An age that goes back, and stages that the site does not have."""
    first, site = pl.col(NUMBER) == 0, pl.col("SITE_ICD10_O2_3CHAR")
    return (
        Breach(
            rule="24",
            what="second tumour ten years younger",
            table=TUMOUR,
            where=(pl.col(NUMBER) == 1) & (pl.col("AGE").cast(pl.Int64, strict=False) > 40),
            edit=put(
                TUMOUR,
                rows=pl.col(NUMBER) == 1,
                AGE=(pl.col("AGE").cast(pl.Int64, strict=False) - 10).cast(pl.String),
            ),
        ),
        Breach(
            rule="26",
            what="TNM stage of a brain tumour",
            table=TUMOUR,
            where=first & (site == "C71"),
            edit=put(TUMOUR, STAGE_BEST="2"),
        ),
        Breach(
            rule="27",
            what="Binet stage of a breast tumour",
            table=TUMOUR,
            where=first & (site == "C50"),
            edit=put(TUMOUR, STAGE_BEST_SYSTEM="Binet"),
        ),
        Breach(
            rule="28",
            what="stage 1 with metastasis",
            table=TUMOUR,
            where=first & (site == "C50") & pl.col("STAGE_BEST").str.starts_with("1"),
            edit=put(TUMOUR, M_BEST="1"),
        ),
    )


def wrong_pathology() -> tuple[Breach, ...]:
    """Receptors, grades, morphologies and codes of another site."""
    first, site = pl.col(NUMBER) == 0, pl.col("SITE_ICD10_O2_3CHAR")
    return (
        Breach(
            rule="30",
            what="oestrogen receptor of a lung tumour",
            table=TUMOUR,
            where=first & (site == "C34"),
            edit=put(TUMOUR, ER_STATUS="P"),
        ),
        Breach(
            rule="31",
            what="Gleason sum wrong",
            table=TUMOUR,
            where=first & (pl.col("GLEASON_PRIMARY") == "3"),
            edit=put(TUMOUR, GLEASON_COMBINED="10"),
        ),
        Breach(
            rule="32",
            what="mesothelioma of the breast",
            table=TUMOUR,
            where=first & (site == "C50"),
            edit=put(TUMOUR, MORPH_ICD10_O2="9050"),
        ),
        Breach(
            rule="22",
            what="breast at three characters, lung at four",
            table=TUMOUR,
            where=first & (site == "C50"),
            edit=put(TUMOUR, SITE_ICD10_O2="C349"),
        ),
        Breach(
            rule="20",
            what="a man's ovary",
            table=TUMOUR,
            where=first & (site == "C61"),
            edit=put(TUMOUR, SITE_ICD10_O2_3CHAR="C56", SITE_ICD10_O2="C56"),
        ),
    )


def wrong_surgery(extract_date: date) -> tuple[Breach, ...]:
    """Surgery long before the diagnosis, and after the extract."""
    first, surgery = pl.col(NUMBER) == 0, pl.col("DATE_FIRST_SURGERY")
    after = (extract_date + timedelta(days=30)).isoformat()
    return (
        Breach(
            rule="17",
            what="surgery two months before diagnosis",
            table=TUMOUR,
            where=first & surgery.is_not_null() & (pl.col("DIAGNOSISDATEBEST") > "2016-03-01"),
            edit=put(TUMOUR, DATE_FIRST_SURGERY=days("DIAGNOSISDATEBEST", -60)),
        ),
        Breach(
            rule="11",
            what="surgery after the extract",
            table=TUMOUR,
            where=first & surgery.is_not_null(),
            edit=put(TUMOUR, DATE_FIRST_SURGERY=after),
        ),
    )


def wrong_records() -> tuple[Breach, ...]:
    """Breaches that nearly every tumour can show."""
    first, site = pl.col(NUMBER) == 0, pl.col("SITE_ICD10_O2_3CHAR")
    return (
        Breach(rule="01", what="a tumour twice", table=TUMOUR, where=first, edit=twice(TUMOUR)),
        Breach(
            rule="09",
            what="a sentinel for the diagnosis date",
            table=TUMOUR,
            where=first,
            edit=put(TUMOUR, DIAGNOSISDATEBEST="1899-12-30"),
        ),
        Breach(
            rule="10",
            what="diagnosis outside the years",
            table=TUMOUR,
            where=first,
            edit=put(TUMOUR, DIAGNOSISDATEBEST="2015-12-20"),
        ),
        Breach(
            rule="19",
            what="sex of the tumour is not the patient's",
            table=TUMOUR,
            where=first & (site == "C18") & (pl.col("GENDER") == "1"),
            edit=put(TUMOUR, GENDER="2"),
        ),
        Breach(rule="23", what="age 120", table=TUMOUR, where=first, edit=put(TUMOUR, AGE="120")),
        Breach(
            rule="33",
            what="unknown laterality",
            table=TUMOUR,
            where=first,
            edit=put(TUMOUR, LATERALITY="Q"),
        ),
        Breach(
            rule="35",
            what="Charlson total without comorbidities",
            table=TUMOUR,
            where=first & pl.col("COMORBIDITIES_27_03").is_null(),
            edit=put(TUMOUR, CHRL_TOT_27_03="9"),
        ),
    )
