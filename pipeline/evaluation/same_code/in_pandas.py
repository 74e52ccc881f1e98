"""Analyses in pandas: types as it guesses them, columns by position, labels from the workbook."""

from __future__ import annotations

import pandas as pd

from pipeline.evaluation.same_code.analysis import (
    Analysis,
    Answer,
    Labels,
    Package,
    columns,
    labels_of,
)
from pipeline.refusal import Refusal

# table -> column -> sheet; columns that are text in the real release
TEXT = {
    "sim_av_patient": {"ETHNICITY": "z_ethnicity", "VITALSTATUS": "z_vitalstatus"},
    "sim_av_tumour": {
        "STAGE_BEST": "z_stage",
        "GRADE": "z_grade",
        "LATERALITY": "z_laterality",
        "CANCERCAREPLANINTENT": "z_cancercareplanintent",
    },
}
# columns whose codes are whole numbers there
NUMBERS = {
    "sim_av_patient": {"GENDER": "z_gender"},
    "sim_av_tumour": {
        "BEHAVIOUR_ICD10_O2": "z_behaviour",
        "PERFORMANCESTATUS": "z_performancestatus",
    },
    "sim_av_gene": {"GENE": "z_gene"},
    "sim_sact_drug_detail": {"ADMINISTRATION_ROUTE": "z_administration_route"},
    "sim_rtds_episode": {"RADIOTHERAPYINTENT": "z_radiotherapyintent"},
    "sim_rtds_prescription": {"RTTREATMENTMODALITY": "z_rttreatmentmodality"},
}
AGE_AT, SITE_AT = 19, 4  # of sim_av_tumour, from 0


def labels_by_dictionary(package: Package) -> Answer:
    """Codes and sheet as text: one dictionary per column, mapped."""
    labels: dict[str, Labels] = {}
    names: list[str] = []
    for table, sheets in TEXT.items():
        rows = package.read(table)
        for column, sheet in sheets.items():
            lookup = package.sheet(sheet)
            by_code = dict(zip(lookup["Code"].astype(str), lookup["Description"], strict=True))
            rows[f"{column}_LABEL"] = rows[column].map(by_code)
            labels[column] = labels_of(rows[column], rows[f"{column}_LABEL"])
        names += columns(rows)
    return Answer(tuple(names), labels)


def labels_by_merge(package: Package) -> Answer:
    """Columns of whole numbers merged with the sheet's numbers."""
    labels: dict[str, Labels] = {}
    names: list[str] = []
    for table, sheets in NUMBERS.items():
        rows = package.read(table)
        for column, sheet in sheets.items():
            lookup = package.sheet(sheet)[["Code", "Description"]]
            merged = rows.merge(lookup, left_on=column, right_on="Code", how="left")
            labels[column] = labels_of(merged[column], merged["Description"])
        names += columns(rows)
    return Answer(tuple(names), labels)


def outcomes_labelled(package: Package) -> Answer:
    """Outcomes of regimens. The letters among the codes make the column text in the real release;
    where pandas reads numbers instead, 1 becomes 1.0 and no label fits.
    """
    return _as_text(package, "sim_sact_outcome", "REGIMEN_OUTCOME_SUMMARY",
                    "z_regimen_outcome_summary")  # fmt: skip


def cycle_performance_labelled(package: Package) -> Answer:
    """Performance status of cycles: text by its unmapped codes, as the outcomes are."""
    return _as_text(package, "sim_sact_cycle", "PERF_STATUS_START_OF_CYCLE",
                    "z_perf_status_start_of_cycle")  # fmt: skip


def _as_text(package: Package, table: str, column: str, sheet: str) -> Answer:
    rows, lookup = package.read(table), package.sheet(sheet)
    lookup["Code"] = lookup["Code"].astype(str)
    lookup["Description"] = lookup["Description"].ffill()  # cells that the real workbook merges
    cells = rows[rows[column].notna()].copy()
    cells[column] = cells[column].astype(str)
    merged = cells.merge(lookup, left_on=column, right_on="Code", how="left")
    counts = merged.groupby("Description").size().rename("n").reset_index()
    return Answer(columns(counts), {column: labels_of(cells[column], merged["Description"])})


def ages_by_position(package: Package) -> Answer:
    """Five-year age bands by site, columns taken by their place."""
    tumours = package.read("sim_av_tumour")
    age, site = tumours.iloc[:, AGE_AT], tumours.iloc[:, SITE_AT]
    band = (age // 5 * 5).astype("Int64")
    table = pd.crosstab(site, band)
    if not site.astype(str).str.match(r"^[CD]\d\d$").all() or not age.between(0, 120).all():
        raise Refusal(f"columns {SITE_AT} and {AGE_AT} are not site and age: {tumours.columns}")
    return Answer((tumours.columns[SITE_AT], tumours.columns[AGE_AT], str(table.columns.name)))


def comorbidities_scored(package: Package) -> Answer:
    """Charlson groups split at commas, each with its name."""
    tumours, lookup = package.read("sim_av_tumour"), package.sheet("z_comorbidities")
    names = dict(zip(lookup["Code"].dropna().astype(int), lookup["Description"], strict=False))
    groups = tumours["COMORBIDITIES_27_03"].dropna().astype(str).str.split(",").explode()
    named = groups.str.strip().astype(int).map(names)
    return Answer(columns(tumours), {"COMORBIDITIES_27_03": labels_of(groups, named)})


ANALYSES = (
    Analysis("Stage, grade, side, ethnicity labelled", "pandas, dictionary", labels_by_dictionary),
    Analysis("Numbered codes labelled", "pandas, merge", labels_by_merge),
    Analysis("Outcomes of regimens labelled", "pandas, guessed types", outcomes_labelled),
    Analysis(
        "Performance status of cycles labelled", "pandas, guessed types", cycle_performance_labelled
    ),
    Analysis("Age by site", "pandas, columns by position", ages_by_position),
    Analysis("Comorbidities named", "pandas, split at commas", comorbidities_scored),
)
