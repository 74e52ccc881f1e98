"""SIM_AV_PATIENT, SIM_AV_TUMOUR, SIM_AV_GENE and the two optional pathway tables
(registry_tables.md 1.3, 1.6).
"""

import numpy as np
import polars as pl

from pipeline.schema.codes import gene_panel, lists
from pipeline.schema.codes.gene_panel import ABNORMAL, FAILED, NOT_APPLICABLE, RESULT_COLUMNS
from pipeline.simulator import draw
from pipeline.simulator.clinical import per_tumour
from pipeline.simulator.draw import MISSING, Bools, Ints, Texts
from pipeline.simulator.parameters import load
from pipeline.simulator.values import (
    DCO,
    EMERGENCY,
    FIRST_EVENT_DAY,
    NO_DAY,
    ROUTES,
    SCREENED,
    TWW,
    View,
)
from pipeline.simulator.view import dates, texts

QUINTILES = list(lists.lookup("quintile_2019"))


def patient_table(view: View, seed: int) -> pl.DataFrame:
    latent, rows = view.latent, view.patients
    people, dead = latent.people, view.dead[rows]
    ids = people.patient_id[rows]
    cause = np.where(dead, latent.causes[rows], MISSING)
    more = [draw.coins(ids, seed, f"cause {part}") for part in ("1a", "1b", "1c", "2", "which")]
    other = np.array(
        ["J180", "A419", "I500", "C787", "C780", "C795", "N179", "J449"], dtype=object
    )[(more[4] * 8).astype(int)]
    second = np.array(["I10", "E149", "J449", "I489", "F03", "E149,I10"], dtype=object)[
        (more[4] * 6).astype(int)
    ]
    left = ~dead & (people.embarked[rows] <= view.extract_day)
    return pl.DataFrame(
        {
            "PATIENTID": ids,
            "GENDER": texts(people.sex[rows]),
            "ETHNICITY": texts(people.ethnicity[rows]),
            "DEATHCAUSECODE_1A": texts(
                np.where(
                    dead & (more[0] < load()["cause_of_death"]["first_line_recorded"]),
                    np.where(more[4] < 0.6, cause, other),
                    MISSING,
                )
            ),
            "DEATHCAUSECODE_1B": texts(np.where(dead & (more[1] < 0.42), cause, MISSING)),
            "DEATHCAUSECODE_1C": texts(np.where(dead & (more[2] < 0.1), cause, MISSING)),
            "DEATHCAUSECODE_2": texts(np.where(dead & (more[3] < 0.3), second, MISSING)),
            "DEATHCAUSECODE_UNDERLYING": texts(cause),
            "DEATHLOCATIONCODE": texts(np.where(dead, latent.death_location[rows], MISSING)),
            "VITALSTATUS": texts(np.where(dead, "D", np.where(left, "X", "A"))),
            "VITALSTATUSDATE": dates(view.end[rows]),
            "LINKNUMBER": people.link_number[rows],
        }
    )


def tumour_table(view: View, seed: int) -> pl.DataFrame:
    latent, rows = view.latent, view.tumours
    tumours, path, clinic, people = latent.tumours, latent.pathology, latent.clinical, latent.people
    who = tumours.patient[rows]
    surgery = latent.plan.first_surgery_day[rows]
    no_surgery = (surgery == NO_DAY) | (surgery > view.end[who])
    code4, site, icdo3 = texts(path.code4[rows]), texts(tumours.site[rows]), texts(path.icdo3[rows])
    primary, secondary, tertiary, combined = (texts(part[rows]) for part in latent.gleason)
    return pl.DataFrame(
        {
            "TUMOURID": tumours.tumour_id[rows],
            "GENDER": texts(people.sex[who]),
            "PATIENTID": people.patient_id[who],
            "DIAGNOSISDATEBEST": dates(tumours.day[rows]),
            "SITE_ICD10_O2_3CHAR": site,
            "SITE_ICD10_O2": code4,
            "SITE_ICD10R4_O2_3CHAR_FROM2013": site,
            "SITE_ICD10R4_O2_FROM2013": code4,
            "SITE_ICDO3REV2011": icdo3,
            "SITE_ICDO3REV2011_3CHAR": icdo3.str.slice(0, 3),
            "MORPH_ICD10_O2": texts(path.morphology[rows]),
            "MORPH_ICDO3REV2011": texts(path.morphology[rows]),
            "BEHAVIOUR_ICD10_O2": texts(path.behaviour[rows]),
            "BEHAVIOUR_ICDO3REV2011": texts(path.behaviour[rows]),
            "T_BEST": texts(clinic.t_best[rows]),
            "N_BEST": texts(clinic.n_best[rows]),
            "M_BEST": texts(clinic.m_best[rows]),
            "STAGE_BEST": texts(clinic.stage[rows]),
            "GRADE": texts(latent.grade[rows]),
            "AGE": tumours.age[rows],
            "CREG_CODE": texts(people.region[who]),
            "STAGE_BEST_SYSTEM": texts(clinic.stage_system[rows]),
            "LATERALITY": texts(path.laterality[rows]),
            "SCREENINGSTATUSFULL_CODE": texts(clinic.screening[rows]),
            "ER_STATUS": texts(path.er[rows]),
            "PR_STATUS": texts(path.pr[rows]),
            "HER2_STATUS": texts(path.her2[rows]),
            "QUINTILE_2019": texts(np.array(QUINTILES, dtype=object)[people.quintile[who] - 1]),
            "DATE_FIRST_SURGERY": dates(surgery, no_surgery),
            "CANCERCAREPLANINTENT": texts(_care_plans(view, seed)),
            "PERFORMANCESTATUS": texts(clinic.performance_recorded[rows]),
            **_comorbidity(view, seed),
            "GLEASON_PRIMARY": primary,
            "GLEASON_SECONDARY": secondary,
            "GLEASON_TERTIARY": tertiary,
            "GLEASON_COMBINED": combined.cast(pl.Int64),
        }
    )


def _comorbidity(view: View, seed: int) -> dict[str, pl.Series]:
    """Total and list of each tumour; a few tumours have neither."""
    tumours, people = view.latent.tumours, view.latent.people
    who = tumours.patient[view.tumours]
    ids = tumours.tumour_id[view.tumours]
    nothing = draw.coins(ids, seed, "no charlson") < load()["charlson_missing"]
    groups = people.comorbidities[who]
    return {
        "CHRL_TOT_27_03": pl.Series(people.charlson[who]).set(pl.Series(nothing), None),
        "COMORBIDITIES_27_03": texts(np.where((groups == "") | nothing, MISSING, groups)),
    }


def _care_plans(view: View, seed: int) -> Texts:
    latent, rows = view.latent, view.tumours
    plan, ids = latent.plan, latent.tumours.tumour_id[rows]
    treated = (plan.surgery | plan.drugs | plan.radiotherapy)[rows]
    recorded = per_tumour(load()["care_plan_recorded"], latent.tumours)[rows]
    is_recorded = draw.coins(ids, seed, "care plan") < recorded
    aim = np.where(
        treated,
        np.where(plan.curative[rows], "C", "Z"),
        np.where(draw.coins(ids, seed, "no plan") < 0.6, "Z", "X"),
    )
    return np.where(
        is_recorded, np.where(draw.coins(ids, seed, "plan not known") < 0.08, "9", aim), MISSING
    )


def gene_table(view: View, seed: int) -> pl.DataFrame:
    tests, tumours = view.latent.genes, view.latent.tumours
    who = tumours.patient[tests.tumour]
    rows = np.flatnonzero(view.tumour_seen[tests.tumour] & (tests.last_day <= view.end[who]))
    genes = list(gene_panel.genes().values())
    kind = np.array([gene.kind for gene in genes], dtype=object)[tests.gene[rows]]
    symbol = np.array([gene.symbol for gene in genes], dtype=object)[tests.gene[rows]]
    abnormal, failed = tests.status[rows] == ABNORMAL, tests.status[rows] == FAILED
    repeated = tests.last_day[rows] > tests.first_day[rows]
    statuses = np.where(repeated, FAILED + "," + tests.status[rows], tests.status[rows])
    is_sequence = (kind == "DNASEQ_GAT") & ~failed
    variant, n_variants = _variants(tests.variant[rows], is_sequence)
    gene_id = tumours.tumour_id[tests.tumour[rows]] * 100 + tests.gene[rows]
    return pl.DataFrame(
        {
            "GENEID": texts(np.char.add("G", gene_id.astype(str)).astype(object)),
            "TUMOURID": tumours.tumour_id[tests.tumour[rows]],
            "PATIENTID": view.latent.people.patient_id[who[rows]],
            "GENE_DESC": texts(symbol),
            "GENE": np.array([gene.code for gene in genes], dtype=np.int64)[tests.gene[rows]],
            "COUNT_TESTS": 1 + repeated.astype(np.int64),
            "COUNT_RESULTS": np.where(failed, 0, 1).astype(np.int64),
            "COUNT_DATE": 1 + repeated.astype(np.int64),
            "ALL_TESTSTATUSES": texts(statuses),
            "OVERALL_TS": texts(tests.status[rows]),
            "NO_OF_AB_GATS": abnormal.astype(np.int64),
            **_results_by_kind(tests.gene[rows], abnormal, failed),
            "ABNORMAL_GAT": texts(
                np.where(abnormal, _of_genes("abnormality", tests.gene[rows]), MISSING)
            ),
            "NO_OF_SEQ_VARS": n_variants,
            "ALL_SEQ_VARS": variant,
            "SEQ_VAR": variant,
            "DATE_OVERALL_TS": dates(tests.overall_day[rows]),
            "BEST_DATE_SOURCE_OVERALL_TS": texts(
                np.where(tests.molecular[rows], "molecular", "pathology")
            ),
            "MIN_DATE": dates(tests.first_day[rows]),
            "MAX_DATE": dates(tests.last_day[rows]),
            "ALL_PRO_IMPS": variant,
            "NO_OF_PRO_IMPS": n_variants,
            "PRO_IMP": variant,
            "METHODS": texts(tests.method[rows]),
            "LAB_NAME": texts(tests.lab[rows]),
        }
    )


def _of_genes(field: str, gene: Ints) -> Texts:
    """A field of the panel's genes, one value per test."""
    values = [getattr(one, field) for one in gene_panel.genes().values()]
    return np.array(values, dtype=object)[gene]


def _results_by_kind(gene: Ints, abnormal: Bools, failed: Bools) -> dict[str, pl.Series]:
    """The result in the column of the test's kind; the other four are not applicable."""
    kind = _of_genes("kind", gene)
    result = np.where(abnormal, _of_genes("abnormal", gene), _of_genes("normal", gene))
    result = np.where(failed, NOT_APPLICABLE, result)
    return {
        column: texts(np.where(kind == column, result, NOT_APPLICABLE)) for column in RESULT_COLUMNS
    }


def _variants(variant: Texts, is_sequence: Bools) -> tuple[pl.Series, pl.Series]:
    """The variant of each test, and how many there are where a sequence was read."""
    names = texts(variant)
    count = names.is_not_null().cast(pl.Int64)
    return names, count.set(pl.Series(~is_sequence), None)


def route_table(view: View) -> pl.DataFrame:
    rows = view.tumours
    return pl.DataFrame(
        {
            "TUMOURID": view.latent.tumours.tumour_id[rows],
            "FINAL_ROUTE": texts(np.array(ROUTES, dtype=object)[view.latent.clinical.route[rows]]),
        }
    )


def cwt_table(view: View, seed: int) -> pl.DataFrame:
    """Waiting times of the first treatment that an extract shows; emergencies and death
    certificates have none.
    """
    latent = view.latent
    tumours, route, raw = latent.tumours, latent.clinical.route, load()["waiting"]
    start, modality = first_treatments(view)
    rows = view.tumours[(route[view.tumours] != DCO) & (route[view.tumours] != EMERGENCY)]
    ids, day = tumours.tumour_id[rows], tumours.day[rows]
    rng = draw.stream(seed, "waiting times")
    normal = rng.standard_normal((3, len(tumours.day)))[:, rows]
    ahead, wait, decide = (
        np.rint(raw[name][0] * np.exp(raw[name][1] * normal[i])).astype(np.int64)
        for i, name in enumerate(("referral", "first_seen", "decision"))
    )
    treated = start[rows] <= view.end[tumours.patient[rows]]
    begin = start[rows]
    latest = np.where(treated, np.minimum(begin, day), day)
    referral = np.clip(day - ahead, FIRST_EVENT_DAY, latest)
    first_seen = np.clip(referral + wait, referral, latest)
    decision = np.clip(begin - decide, first_seen, begin)
    kind = np.select(
        [route[rows] == TWW, route[rows] == SCREENED],
        ["TWW", "screening"],
        np.where(draw.coins(ids, seed, "upgrade") < 0.15, "consultant upgrade", "other"),
    )
    unseen = first_seen > view.extract_day
    return pl.DataFrame(
        {
            "PATIENTID": latent.people.patient_id[tumours.patient[rows]],
            "TUMOURID": ids,
            "CRTP_DATE": dates(referral),
            "REFERRAL_TYPE": texts(kind),
            "DATE_FIRST_SEEN": dates(first_seen, unseen),
            "DECISION_TO_TREAT_DATE": dates(decision, ~treated),
            "TREATMENT_START_DATE": dates(begin, ~treated),
            "TREATMENT_MODALITY": texts(np.where(treated, modality[rows], MISSING)),
            "EVENT_TYPE": texts(np.where(treated, "01", MISSING)),
        }
    )


def first_treatments(view: View) -> tuple[Ints, Texts]:
    """[t] day and CWT modality of each tumour's first treatment, a far day where there is none."""
    latent = view.latent
    plan, n = latent.plan, len(latent.tumours.day)
    drugs = np.full(n, 10**6)
    np.minimum.at(drugs, latent.courses.tumour, latent.courses.start)
    rt = np.full(n, 10**6)
    np.minimum.at(rt, latent.episodes.tumour, latent.episodes.start)
    surgery = np.where(plan.surgery, plan.surgery_day, 10**6)
    first = np.minimum(np.minimum(surgery, drugs), rt)
    modality = np.select(
        [surgery == first, plan.concurrent & (drugs == first), drugs == first],
        ["01", "04", "02"],
        "05",
    )
    return first, modality.astype(object)
