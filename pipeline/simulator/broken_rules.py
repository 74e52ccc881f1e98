"""`--dirt every-rule`: each F rule of clinical_rules.md broken once, each by a patient of its
own.

Left out: 8 (the files' structure, which stops a run), 53 and 54 (the event log is derived, no
source holds one), 57 (synthetic tables only).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from pipeline.refusal import Refusal

Tables = dict[str, pl.DataFrame]
Edit = Callable[[Tables, int, date], Tables]

P, T, G = "sim_av_patient", "sim_av_tumour", "sim_av_gene"
R, C, D, O = (  # noqa: E741
    "sim_sact_regimen",
    "sim_sact_cycle",
    "sim_sact_drug_detail",
    "sim_sact_outcome",
)
E, X, Y, B = "sim_rtds_episode", "sim_rtds_prescription", "sim_rtds_exposure", "sim_rtds_combined"
# helper columns: whose row it is, and which of hers in this table
OWNER, NUMBER = "_owner", "_number"


@dataclass(frozen=True, kw_only=True)
class Breach:
    rule: str
    what: str
    table: str  # the patient must have a row here ...
    where: pl.Expr  # ... of which this holds
    edit: Edit


def break_every_rule(
    tables: Tables, extract_date: date
) -> tuple[Tables, dict[str, dict[str, object]]]:
    """New tables, all text, and per rule the patient who breaks it. Refusal where an extract is
    too small to find one for each rule.
    """
    work = {name: _with_owner(tables, name) for name in tables}
    used: set[int] = set()
    broken: dict[str, dict[str, object]] = {}
    for breach in breaches(extract_date):
        free = work[breach.table].filter(breach.where & pl.col(OWNER).is_in(list(used)).not_())[
            OWNER
        ]
        if not len(free):
            raise Refusal(
                f"simulate: no patient left to break rule {breach.rule} ({breach.what}); simulate"
                " more patients, about 3,000"
            )
        patient = int(free.min())  # type: ignore[arg-type]
        used.add(patient)
        work = breach.edit(work, patient, extract_date)
        broken[breach.rule] = {"patient": patient, "what": breach.what}
    return {name: table.drop(OWNER, NUMBER) for name, table in work.items()}, broken


def _with_owner(tables: Tables, name: str) -> pl.DataFrame:
    regimens = tables[R].select("MERGED_REGIMEN_ID", pl.col("ENCORE_PATIENT_ID").alias(OWNER))
    table = tables[name]
    if "PATIENTID" in table.columns or "ENCORE_PATIENT_ID" in table.columns:
        owned = table.with_columns(
            pl.col("PATIENTID" if "PATIENTID" in table.columns else "ENCORE_PATIENT_ID").alias(
                OWNER
            )
        )
    elif "MERGED_REGIMEN_ID" in table.columns:
        owned = table.join(regimens, on="MERGED_REGIMEN_ID", how="left", maintain_order="left")
    elif "MERGED_CYCLE_ID" in table.columns:
        cycles = (
            tables[C]
            .select("MERGED_CYCLE_ID", "MERGED_REGIMEN_ID")
            .join(regimens, on="MERGED_REGIMEN_ID")
            .drop("MERGED_REGIMEN_ID")
        )
        owned = table.join(cycles, on="MERGED_CYCLE_ID", how="left", maintain_order="left")
    else:
        owned = table.join(
            tables[T].select("TUMOURID", pl.col("PATIENTID").alias(OWNER)),
            on="TUMOURID",
            how="left",
            maintain_order="left",
        )
    texts = owned.with_columns(pl.exclude(OWNER).cast(pl.String))
    return texts.with_columns(pl.int_range(pl.len()).over(OWNER).alias(NUMBER))


def put(*names: str, rows: pl.Expr | None = None, **values: str | pl.Expr) -> Edit:
    """Overwrites columns of the patient's first row (or of `rows`) in each named table that has
    them.
    """

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        own_rows = (pl.col(OWNER) == patient) & (pl.col(NUMBER) == 0 if rows is None else rows)
        changed = dict(tables)
        for name in names:
            columns = {
                c: v if isinstance(v, pl.Expr) else pl.lit(v)
                for c, v in values.items()
                if c in changed[name].columns
            }
            changed[name] = changed[name].with_columns(
                **{c: pl.when(own_rows).then(v).otherwise(pl.col(c)) for c, v in columns.items()}
            )
        return changed

    return edit


def twice(name: str) -> Edit:
    """Repeats the patient's first row."""

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        again = tables[name].filter((pl.col(OWNER) == patient) & (pl.col(NUMBER) == 0))
        return {**tables, name: pl.concat([tables[name], again])}

    return edit


def without(*names: str) -> Edit:
    """Removes the patient's rows."""

    def edit(tables: Tables, patient: int, extract_date: date) -> Tables:
        return {**tables, **{name: tables[name].filter(pl.col(OWNER) != patient) for name in names}}

    return edit


def days(column: str, shift: int) -> pl.Expr:
    """The date text of a column, shifted."""
    return pl.col(column).str.to_date().dt.offset_by(f"{shift}d").dt.to_string("%Y-%m-%d")


def breaches(extract_date: date) -> tuple[Breach, ...]:
    """Scarce patients first, so that none is spent on an easy rule."""
    return (
        *_of_drugs(),
        *_of_radiotherapy_and_genes(),
        *_of_tumours(extract_date),
        *_of_any_tumour(),
        *_of_patients(),
    )


def _of_drugs() -> tuple[Breach, ...]:
    anyone, first = pl.lit(True), pl.col(NUMBER) == 0
    drug, regimen = pl.col("DRUG_GROUP"), pl.col("MAPPED_REGIMEN")
    return (
        Breach(
            rule="42",
            what="bladder regimen at another site",
            table=R,
            where=first & (regimen == "CAPOX"),
            edit=put(R, MAPPED_REGIMEN="BCG INTRAVESICAL", BENCHMARK_GROUP="BCG INTRAVESICAL"),
        ),
        Breach(
            rule="41",
            what="capecitabine into the bladder",
            table=D,
            where=first & (drug == "CAPECITABINE"),
            edit=put(D, ADMINISTRATION_ROUTE="9"),
        ),
        Breach(
            rule="40",
            what="a drug that the regimen does not hold",
            table=D,
            where=first & (drug == "PEMBROLIZUMAB"),
            edit=put(D, DRUG_GROUP="BLEOMYCIN"),
        ),
        Breach(
            rule="02",
            what="link number of nobody",
            table=R,
            where=anyone,
            edit=put(R, LINK_NUMBER="1"),
        ),
        Breach(rule="05", what="two outcomes of one regimen", table=O, where=anyone, edit=twice(O)),
        Breach(
            rule="36",
            what="decision after the start",
            table=R,
            where=first,
            edit=put(R, DATE_DECISION_TO_TREAT=days("START_DATE_OF_REGIMEN", 30)),
        ),
        Breach(
            rule="37",
            what="a gap in the cycle numbers",
            table=C,
            where=(pl.col("CYCLE_NUMBER") == "2") & (pl.col(NUMBER) == 1),
            edit=put(C, rows=pl.col(NUMBER) == 1, CYCLE_NUMBER="9"),
        ),
        Breach(
            rule="39",
            what="a drug before its cycle",
            table=D,
            where=first,
            edit=put(D, ADMINISTRATION_DATE=days("ADMINISTRATION_DATE", -15)),
        ),
        Breach(
            rule="43",
            what="final treatment before the last cycle",
            table=O,
            where=first,
            edit=put(O, DATE_OF_FINAL_TREATMENT="2016-01-04"),
        ),
        Breach(
            rule="44",
            what="nine metres tall",
            table=R,
            where=first,
            edit=put(R, HEIGHT_AT_START_OF_REGIMEN="9.9"),
        ),
    )


def _of_radiotherapy_and_genes() -> tuple[Breach, ...]:
    anyone, first = pl.lit(True), pl.col(NUMBER) == 0
    own_rows = pl.lit(True)
    return (
        Breach(
            rule="04",
            what="gene test of an unknown tumour",
            table=G,
            where=first,
            edit=put(G, TUMOURID="1"),
        ),
        Breach(
            rule="52",
            what="gene test before its first date",
            table=G,
            where=first,
            edit=put(G, MIN_DATE=days("MAX_DATE", 40)),
        ),
        Breach(
            rule="06",
            what="prescription of no attendance",
            table=X,
            where=first,
            edit=put(X, ATTENDID="1"),
        ),
        Breach(
            rule="07",
            what="the joined table says another dose",
            table=B,
            where=first,
            edit=put(B, RTACTUALDOSE="1.0"),
        ),
        Breach(
            rule="46",
            what="decision after the first attendance",
            table=E,
            where=first,
            edit=put(E, B, rows=own_rows, DECISIONTOTREATDATE=days("APPTDATE", 45)),
        ),
        Breach(
            rule="47",
            what="all attendances on one day",
            table=E,
            where=pl.col(NUMBER) == 9,
            edit=put(E, X, Y, B, rows=own_rows, APPTDATE=pl.col("APPTDATE").min().over(OWNER)),
        ),
        Breach(
            rule="48",
            what="150 Gy",
            table=X,
            where=anyone,
            edit=put(X, B, rows=own_rows, RTACTUALDOSE="150.0"),
        ),
        Breach(
            rule="50",
            what="an isotope in a photon beam",
            table=Y,
            where=first & (pl.col("RADIOTHERAPYBEAMTYPE") == "1"),
            edit=put(Y, B, rows=own_rows, RADIOISOTOPE="IR192"),
        ),
    )


def _of_tumours(extract_date: date) -> tuple[Breach, ...]:
    first, site = pl.col(NUMBER) == 0, pl.col("SITE_ICD10_O2_3CHAR")
    surgery = pl.col("DATE_FIRST_SURGERY")
    after = (extract_date + timedelta(days=30)).isoformat()
    return (
        Breach(
            rule="24",
            what="second tumour ten years younger",
            table=T,
            where=(pl.col(NUMBER) == 1) & (pl.col("AGE").cast(pl.Int64, strict=False) > 40),
            edit=put(
                T,
                rows=pl.col(NUMBER) == 1,
                AGE=(pl.col("AGE").cast(pl.Int64, strict=False) - 10).cast(pl.String),
            ),
        ),
        Breach(
            rule="26",
            what="TNM stage of a brain tumour",
            table=T,
            where=first & (site == "C71"),
            edit=put(T, STAGE_BEST="2"),
        ),
        Breach(
            rule="27",
            what="Binet stage of a breast tumour",
            table=T,
            where=first & (site == "C50"),
            edit=put(T, STAGE_BEST_SYSTEM="Binet"),
        ),
        Breach(
            rule="28",
            what="stage 1 with metastasis",
            table=T,
            where=first & (site == "C50") & pl.col("STAGE_BEST").str.starts_with("1"),
            edit=put(T, M_BEST="1"),
        ),
        Breach(
            rule="30",
            what="oestrogen receptor of a lung tumour",
            table=T,
            where=first & (site == "C34"),
            edit=put(T, ER_STATUS="P"),
        ),
        Breach(
            rule="31",
            what="Gleason sum wrong",
            table=T,
            where=first & (pl.col("GLEASON_PRIMARY") == "3"),
            edit=put(T, GLEASON_COMBINED="10"),
        ),
        Breach(
            rule="32",
            what="mesothelioma of the breast",
            table=T,
            where=first & (site == "C50"),
            edit=put(T, MORPH_ICD10_O2="9050"),
        ),
        Breach(
            rule="22",
            what="breast at three characters, lung at four",
            table=T,
            where=first & (site == "C50"),
            edit=put(T, SITE_ICD10_O2="C349"),
        ),
        Breach(
            rule="20",
            what="a man's ovary",
            table=T,
            where=first & (site == "C61"),
            edit=put(T, SITE_ICD10_O2_3CHAR="C56", SITE_ICD10_O2="C56"),
        ),
        Breach(
            rule="17",
            what="surgery two months before diagnosis",
            table=T,
            where=first & surgery.is_not_null() & (pl.col("DIAGNOSISDATEBEST") > "2016-03-01"),
            edit=put(T, DATE_FIRST_SURGERY=days("DIAGNOSISDATEBEST", -60)),
        ),
        Breach(
            rule="11",
            what="surgery after the extract",
            table=T,
            where=first & surgery.is_not_null(),
            edit=put(T, DATE_FIRST_SURGERY=after),
        ),
    )


def _of_any_tumour() -> tuple[Breach, ...]:
    first, site = pl.col(NUMBER) == 0, pl.col("SITE_ICD10_O2_3CHAR")
    return (
        Breach(rule="01", what="a tumour twice", table=T, where=first, edit=twice(T)),
        Breach(
            rule="09",
            what="a sentinel for the diagnosis date",
            table=T,
            where=first,
            edit=put(T, DIAGNOSISDATEBEST="1899-12-30"),
        ),
        Breach(
            rule="10",
            what="diagnosis outside the years",
            table=T,
            where=first,
            edit=put(T, DIAGNOSISDATEBEST="2015-12-20"),
        ),
        Breach(
            rule="19",
            what="sex of the tumour is not the patient's",
            table=T,
            where=first & (site == "C18") & (pl.col("GENDER") == "1"),
            edit=put(T, GENDER="2"),
        ),
        Breach(rule="23", what="age 120", table=T, where=first, edit=put(T, AGE="120")),
        Breach(
            rule="33", what="unknown laterality", table=T, where=first, edit=put(T, LATERALITY="Q")
        ),
        Breach(
            rule="35",
            what="Charlson total without comorbidities",
            table=T,
            where=first & pl.col("COMORBIDITIES_27_03").is_null(),
            edit=put(T, CHRL_TOT_27_03="9"),
        ),
    )


def _of_patients() -> tuple[Breach, ...]:
    status = pl.col("VITALSTATUS")
    return (
        Breach(
            rule="13",
            what="surgery after death",
            table=P,
            where=status == "D",
            edit=_surgery_after_death,
        ),
        Breach(
            rule="12",
            what="last seen before the diagnosis",
            table=P,
            where=status == "D",
            edit=put(P, VITALSTATUSDATE="2015-12-01"),
        ),
        Breach(
            rule="16",
            what="cause of death is no ICD-10 code",
            table=P,
            where=status == "D",
            edit=put(P, DEATHCAUSECODE_UNDERLYING="cancer"),
        ),
        Breach(
            rule="15",
            what="alive with a cause of death",
            table=P,
            where=status == "A",
            edit=put(P, DEATHCAUSECODE_UNDERLYING="C809"),
        ),
        Breach(
            rule="14",
            what="alive, last seen before the surgery",
            table=P,
            where=status == "A",
            edit=_alive_before_surgery,
        ),
        Breach(
            rule="03",
            what="no tumour",
            table=P,
            where=status == "A",
            edit=without(T, "ext_route", "ext_cwt_pathway"),
        ),
    )


def _surgery_after_death(tables: Tables, patient: int, extract_date: date) -> Tables:
    died = tables[P].filter(pl.col(OWNER) == patient)["VITALSTATUSDATE"][0]
    return put(T, DATE_FIRST_SURGERY=(date.fromisoformat(died) + timedelta(days=20)).isoformat())(
        tables, patient, extract_date
    )


def _alive_before_surgery(tables: Tables, patient: int, extract_date: date) -> Tables:
    late = (extract_date - timedelta(days=60)).isoformat()
    return put(P, VITALSTATUSDATE=late)(
        put(T, DATE_FIRST_SURGERY=(extract_date - timedelta(days=10)).isoformat())(
            tables, patient, extract_date
        ),
        patient,
        extract_date,
    )
