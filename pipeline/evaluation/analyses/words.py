"""Columns, values and models' terms as people read them: "Breast, stage 4", not C50 and STAGE_GROUP
4.
"""

from __future__ import annotations

from pipeline.schema.codes import lists
from pipeline.schema.values import Schema

TITLES = {  # of the registry's columns; others are their names without underscores
    "SITE_GROUP": "Site",
    "SITE_ICD10_O2_3CHAR": "Site (ICD-10)",
    "GENDER": "Sex",
    "AGE": "Age",
    "ETHNICITY": "Ethnicity",
    "QUINTILE_2019": "Deprivation fifth",
    "CREG_CODE": "Registry area",
    "DIAGNOSISDATEBEST": "Day of diagnosis",
    "FINAL_ROUTE": "Route to diagnosis",
    "STAGE_GROUP": "Stage",
    "STAGE_BEST": "Stage in full",
    "MORPH_ICD10_O2": "Morphology",
    "T_BEST": "Size of the tumour (T)",
    "N_BEST": "Lymph nodes (N)",
    "M_BEST": "Metastasis (M)",
    "GRADE": "Grade",
    "LATERALITY": "Side",
    "ER_STATUS": "Oestrogen receptor",
    "PR_STATUS": "Progesterone receptor",
    "HER2_STATUS": "HER2 receptor",
    "GLEASON_PRIMARY": "First Gleason pattern",
    "GLEASON_SECONDARY": "Second Gleason pattern",
    "CANCERCAREPLANINTENT": "Intent of the care plan",
    "PERFORMANCESTATUS": "Performance status",
    "CHRL_TOT_27_03": "Charlson score",
    "HEIGHT": "Height",
    "WEIGHT": "Weight",
    "REFERRAL": "Referral",
    "FIRST_SEEN": "First seen",
    "DIAGNOSIS": "Diagnosis",
    "NEW_TUMOUR": "Another tumour",
    "GENE_TEST": "Gene test",
    "SURGERY": "Surgery",
    "SACT_REGIMEN": "Drug regimen",
    "SACT_CYCLE": "Drug cycle",
    "SACT_END": "End of regimen",
    "RADIOTHERAPY": "Radiotherapy",
    "DEATH": "Death",
    "CENSOR": "End of follow-up",
}
TERMS = {  # of models: what a ratio compares
    "age10": "age, per 10 years",
    "male": "men against women",
    "stage2": "stage 2 against 1",
    "stage3": "stage 3 against 1",
    "stage4": "stage 4 against 1",
    "stage_unknown": "stage unknown against 1",
    "deprivation": "deprivation, per fifth",
    "poor_performance": "performance status 2 or worse",
    "charlson": "Charlson score, per point up to 3",
    "emergency": "emergency route",
    "most_deprived": "most deprived fifth against the others",
    "year": "year of diagnosis",
    "egfr": "EGFR abnormal",
}
DEPRIVATION = {"1": "most deprived fifth", "5": "least deprived fifth"}


def title(name: str) -> str:
    """A column or event type in words."""
    return TITLES.get(name) or name.replace("_", " ").capitalize()


def value(schema: Schema, column: str, code: str) -> str:
    """A value of a static column in words: the label of its public code list, else itself."""
    if column == "STAGE_GROUP":
        return f"Stage {code}"
    if column == "QUINTILE_2019":
        return DEPRIVATION.get(code[:1], f"deprivation fifth {code[:1]}").capitalize()
    declaration = schema.patients.get(column)
    if declaration is None or declaration.lookup is None:
        return str(code)
    return lists.lookup(declaration.lookup).get(str(code), str(code))


def years(n: int) -> str:
    return f"{n} year" if n == 1 else f"{n} years"


def site_and_stage(site: str, stage: str) -> str:
    return f"{site}, stage {stage}"
