"""Death: piecewise-exponential excess hazard of the tumour beside Gompertz background mortality
(simulator.md 3.6).
"""

import numpy as np

from pipeline.simulator import draw
from pipeline.simulator.draw import Floats
from pipeline.simulator.parameters import Cell, cells, load, of_cell
from pipeline.simulator.values import (
    DCO,
    EMERGENCY,
    Clinical,
    Pathology,
    People,
    Plan,
    Survival,
    Tumours,
)

NEVER = 10**6  # a day that no extract reaches
YEAR = 365.25


def survival(
    people: People,
    tumours: Tumours,
    pathology: Pathology,
    clinical: Clinical,
    grade: draw.Texts,
    plan: Plan,
    seed: int,
) -> Survival:
    """Excess deaths per tumour, background deaths per patient, the earlier one counts; a tumour
    diagnosed after death is dropped.
    """
    rng = draw.stream(seed, "survival")
    ratio = hazard_ratios(people, tumours, pathology, clinical, grade, plan)
    years = _excess_years(rng, tumours, clinical, ratio, plan.alive_until / YEAR)
    excess = np.where(years < 200, tumours.day + np.ceil(years * YEAR), NEVER).astype(np.int64)
    excess = np.where(clinical.route == DCO, tumours.day, excess)
    first = tumours.order == 0
    background = tumours.day[first] + np.ceil(
        _background_years(rng, people, tumours) * YEAR
    ).astype(np.int64)
    death, cause = background.copy(), np.full(len(background), -1)
    is_diagnosed = np.zeros(len(excess), dtype=bool)
    for order in range(3):
        rows = np.flatnonzero(tumours.order == order)
        rows = rows[tumours.day[rows] < death[tumours.patient[rows]]] if order else rows
        if order == 2:  # a third tumour needs its second
            has_second = np.zeros(len(death), dtype=bool)
            has_second[tumours.patient[is_diagnosed & (tumours.order == 1)]] = True
            rows = rows[has_second[tumours.patient[rows]]]
        is_diagnosed[rows] = True
        who = tumours.patient[rows]
        sooner = excess[rows] <= death[who]
        death[who[sooner]], cause[who[sooner]] = excess[rows[sooner]], rows[sooner]
    return Survival(
        excess_death=excess,
        death=death,
        diagnoses=np.flatnonzero(is_diagnosed),
        of_cancer=cause,
    )


def hazard_ratios(
    people: People,
    tumours: Tumours,
    pathology: Pathology,
    clinical: Clinical,
    grade: draw.Texts,
    plan: Plan,
) -> Floats:
    """Multiplier of the excess hazard of each tumour, before recentring."""
    raw = load()["survival"]["hazard_ratios"]
    who, column = tumours.patient, clinical.stage_column
    age_hr = np.array([of_cell(raw["age_10y"], cell) for cell in cells()])[tumours.cell]
    male_hr = np.array([of_cell(raw["male"], cell) for cell in cells()])[tumours.cell]
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    early = column <= 2
    log = np.log(age_hr) * (tumours.age - 68) / 10 + np.log(male_hr) * (people.sex[who] == "1")
    log += (
        np.log(np.array(raw["imd"]))[people.quintile[who] - 1]
        + np.log(np.array(raw["ps"]))[clinical.performance]
    )
    log += np.log(np.array(raw["charlson"]))[np.minimum(people.charlson[who], 3)]
    flags = {
        "emergency": clinical.route == EMERGENCY,
        "grade3": np.isin(grade, ["G3", "G4"]),
        "triple_negative": pathology.triple_negative,
        "sclc": pathology.drug_class == "SCLC",
        "egfr_stage4": pathology.egfr & (column == 3),
        "braf_colorectal": pathology.braf & np.isin(group, ["Colon", "Rectum"]),
        "resection_stage1_3": plan.surgery & early,
        "radical_rt": plan.radiotherapy & plan.curative & ~plan.surgery & early,
        "palliative_drugs": plan.drugs & ~plan.curative,
    }
    for name, flag in flags.items():
        log += np.log(raw[name]) * flag
    log += np.log(raw["per_year"]) * ((tumours.day - tumours.day.min()) / YEAR - 2)
    return np.exp(log) * clinical.iss_hazard


def first_year_part(t: Floats) -> Floats:
    """Share of the first year's cumulative hazard that has passed after t years: rate 1.6 in months
    0-3, 0.8 in months 3-12.
    """
    return np.where(t < 0.25, 1.6 * t, 0.4 + 0.8 * (np.clip(t, 0.25, 1) - 0.25))


def _excess_years(
    rng: np.random.Generator, tumours: Tumours, clinical: Clinical, ratio: Floats, guard: Floats
) -> Floats:
    """Years to death of the tumour. Who is `guard`ed lives at least so long; each cell x stage is
    recentred so that S(1y) and S(5y) hold.
    """
    years = np.full(len(ratio), 1000.0)
    unit = rng.exponential(size=len(ratio))
    for key, rows in draw.by_key(tumours.cell * 5 + clinical.stage_column):
        cell, column = cells()[key // 5], key % 5
        h1, h2 = _rates(cell, int(column))
        r, start = ratio[rows], np.clip(guard[rows], 0, 0.95)
        left = 1 - first_year_part(start)
        c1 = _scale(np.zeros(len(rows)), r * h1 * left, float(cell.s1[column]))
        c2 = _scale(c1 * r * h1 * left, r * h2 * 4, float(cell.s5[column]))
        years[rows] = _invert(unit[rows], c1 * r * h1, c2 * r * h2, start)
    return years


def _scale(hazard_before: Floats, hazard: Floats, target: float) -> float:
    """The factor on `hazard` with which mean survival is `target`."""
    return draw.solve(
        lambda c: float(np.mean(np.exp(-hazard_before - c * hazard))), 1e-6, 60.0, target
    )


def _rates(cell: Cell, column: int) -> tuple[float, float]:
    s1, s5 = min(cell.s1[column], 0.9995), min(cell.s5[column], 0.999)
    return float(-np.log(s1)), float(max(np.log(s1 / s5) / 4, 1e-4))


def _invert(unit: Floats, h1: Floats, h2: Floats, start: Floats) -> Floats:
    """Years at which the cumulative hazard from `start` reaches `unit`."""
    total = unit + h1 * first_year_part(start)
    in_first = total / np.maximum(h1, 1e-12)
    early = np.where(in_first < 0.4, in_first / 1.6, 0.25 + (in_first - 0.4) / 0.8)
    later = 1 + (total - h1) / h2
    beyond = 5 + (total - h1 - 4 * h2) / (0.5 * h2)
    return np.where(total < h1, early, np.where(total < h1 + 4 * h2, later, beyond))


def _background_years(rng: np.random.Generator, people: People, tumours: Tumours) -> Floats:
    """Years from the first diagnosis to death of something else; nobody passes the maximum age."""
    raw, first = load()["survival"], tumours.order == 0
    age = tumours.age_exact[first]
    a, b = (
        np.where(people.sex == "1", raw["male_background"][i], raw["female_background"][i])
        for i in range(2)
    )
    factor = np.array(raw["imd_background"])[people.quintile - 1]
    unit = rng.exponential(size=len(age))
    years = np.log1p(b * unit / (factor * np.exp(a + b * age))) / b
    return np.maximum(np.minimum(years, raw["max_age"] - age), 1 / YEAR)
