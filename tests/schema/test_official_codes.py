"""The code lists against numbers of codes and names written down from the look-up workbook of
Simulacrum v2.1.0 (all_z_lookup_tables.xlsx, version 2 of 2024-05-29; Health Data Insight CiC,
CC BY 4.0). A description that the workbook merges over several rows stands for each of them.
"""

from __future__ import annotations

import pytest

from pipeline.schema.codes import gene_panel, lists

# list -> its sheet, its number of codes, some of them with their names
OFFICIAL = {
    "gender": ("z_gender", 3, {"2": "Female"}),
    "ethnicity": ("z_ethnicity", 23, {"CA": "English", "H": "Asian Indian", "Z": "Not stated"}),
    "vitalstatus": (
        "z_vitalstatus",
        9,
        {"A": "Alive", "D3": "Dies before diagnosis", "X5": "Lost to follow up"},
    ),
    "deathlocation": (
        "z_deathlocationcode",
        7,
        {
            "1": "Hospital",
            "5": "Care home, care home with nursing, nursing home",
            "X": "Unknown",
        },
    ),
    "behaviour": ("z_behaviour", 7, {"2": "In situ", "5": "Micro-invasive"}),
    "stage": (
        "z_stage",
        97,
        {
            "0IS": "Stage 0",
            "1AE": "Stage 1",
            "3Aii": "Stage 3",
            "4BXS": "Stage 4",
            "5": "Outdated or invalid code",
            "U": "Unstageable",
            "B": "RaiBinet stage",
            "MS": "Unmapped value",
        },
    ),
    "grade": (
        "z_grade",
        9,
        {"G": "0 Borderline malignancy", "G2": "2 / II / Moderately differentiated"},
    ),
    "laterality": ("z_laterality", 5, {"9": "Not Known", "M": "Midline"}),
    "careplan_intent": ("z_cancercareplanintent", 4, {"X": "No active treatment"}),
    "performance_status": ("z_performancestatus", 6, {"9": "Not recorded"}),
    "comorbidity": (
        "z_comorbidities",
        17,
        {
            "06": "Pulmonary Disease",
            "13": "Cancer",
            "14": "Metastatic Cancer",
            "15": "Liver Disease",
            "16": "HIV",
            "17": "Severe Liver Disease",
        },
    ),
    "gene": (
        "z_gene",
        106,
        {
            "3": "ALK",
            "24": "EGFR",
            "26": "ERBB2 (HER2 / NEU)",
            "47": "KRAS",
            "4842": "CD274 (PD-L1)",
            "5053": "TFEB",
        },
    ),
    "regimen_intent": (
        "z_intent_of_treatment",
        16,
        {
            "01": "Curative - aiming to permanently eradicate disease",
            "A": "Adjuvant",
            "R": "Unmapped value",
        },
    ),
    "cycle_performance_status": (
        "z_perf_status_start_of_cycle",
        24,
        {"00": "100% - Fully active, normal", "10": "5% - Unresponsive", "*": "Unmapped value"},
    ),
    "regimen_outcome": (
        "z_regimen_outcome_summary",
        11,
        {
            "1": "Progressive/ Recurrent Cancer",
            "3": "Death of patient",
            "5": "Other (not listed)",
            "A": "Unmapped value",
        },
    ),
    "administration_route": (
        "z_administration_route",
        22,
        {"13": "Intratumour", "14": "Intralesional", "98": "Other (not listed)"},
    ),
    "rt_intent": ("z_radiotherapyintent", 3, {"1": "Adjuvant", "2": "Neoadjuvant"}),
    "rt_modality": ("z_rttreatmentmodality", 2, {"5": "Teletherapy", "6": "Brachytherapy"}),
    "rt_region": ("z_treatmentregion", 12, {"O": "Prophylactic", "pr": "Unmapped value"}),
    "rt_priority": (
        "z_radiotherapypriority",
        4,
        {"D": "Elective delay (Treatment delayed for reason)"},
    ),
    "rt_beam_type": ("z_radiotherapybeamtype", 8, {"T1": "Photons", "T8": "Proton Only"}),
}
# Charlson scores of z_comorbidities; 14 has none
SCORES = {"01": 1, "09": 1, "10": 2, "11": 2, "12": 2, "13": 2, "14": 0, "15": 1, "16": 6, "17": 3}


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_list_of_the_workbook_has_its_codes_and_names(name: str) -> None:
    sheet, number, names = OFFICIAL[name]
    entry = lists.read("lookups.yaml")["lists"][name]
    assert entry["sheet"] == sheet
    assert len(entry["codes"]) == number
    assert {code: entry["codes"][code] for code in names} == names


def test_no_list_claims_a_sheet_that_is_not_held_here() -> None:
    with_sheet = {name for name, e in lists.read("lookups.yaml")["lists"].items() if "sheet" in e}
    assert with_sheet == set(OFFICIAL)


def test_codes_that_were_this_projects_own_are_gone() -> None:
    """Each of them, with what took its place."""
    for name, gone in {
        "laterality": "8",
        "deathlocation": "4107",
        "administration_route": "10",
        "stage": "6",
        "rt_modality": "05",
        "rt_intent": "01",
        "rt_beam_type": "1",
        "vitalstatus": "A1",
        "grade": "G5",
    }.items():
        assert gone not in lists.lookup(name), name


def test_charlson_scores() -> None:
    assert {group: lists.comorbidity_weights()[group] for group in SCORES} == SCORES
    assert lists.charlson_total(["09", "10"]) == 2  # only the highest score is counted
    assert lists.charlson_total(["15", "17", "16"]) == 9
    assert lists.charlson_total(list(lists.comorbidity_weights())) == 25


def test_the_panel_has_the_registrys_numbers() -> None:
    numbers = {symbol: gene.code for symbol, gene in gene_panel.genes().items()}
    assert {n: numbers[n] for n in ("EGFR", "ALK", "KRAS", "BRAF", "ROS1", "BRCA1", "TP53")} == {
        "EGFR": 24,
        "ALK": 3,
        "KRAS": 47,
        "BRAF": 6,
        "ROS1": 67,
        "BRCA1": 7,
        "TP53": 79,
    }
