"""The primary treatment plan of each tumour: which of surgery, drugs and radiotherapy, with what
aim, in what order (simulator.md 3.5).
"""

from dataclasses import replace

import numpy as np
from scipy.stats import norm

from pipeline.schema.codes import drug_regimens
from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Ints, Texts
from pipeline.simulator.drugs import choose_regimens, deliver, last_offset
from pipeline.simulator.parameters import cells, load, of_cell
from pipeline.simulator.procedures import procedure_days
from pipeline.simulator.radiotherapy import choose_schedules, schedule_list
from pipeline.simulator.values import (
    DCO,
    EMERGENCY,
    NO_DAY,
    Clinical,
    Courses,
    Pathology,
    People,
    Plan,
    Tumours,
)


def plan_treatments(
    people: People, tumours: Tumours, pathology: Pathology, clinical: Clinical, seed: int
) -> Plan:
    rng = draw.stream(seed, "treatments")
    surgery, drugs, rt = _flags(rng, people, tumours, clinical)
    curative = _aims(rng, tumours, clinical, surgery)
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    neo, pre_rt, concurrent = _orders(
        rng, tumours, pathology, clinical, surgery, drugs, rt, curative
    )
    intent = _intents(rng, group, surgery, neo, curative)
    regimen, intent = choose_regimens(
        rng, group, people.sex[tumours.patient], pathology.drug_class, intent, concurrent, drugs
    )
    chemo_rt = np.array([r.chemo_radiation for r in drug_regimens.regimens().values()])
    concurrent = concurrent & chemo_rt[np.maximum(regimen, 0)] & (regimen >= 0)
    schedule = choose_schedules(rng, group, curative, concurrent, tumours.day, rt)
    first = _first_days(rng, tumours, clinical, pathology, group, surgery, rt)
    half = neo & np.isin(group, load()["half_plan_neoadjuvant"])
    rows = np.flatnonzero(regimen >= 0)
    courses = deliver(
        rng,
        rows,
        regimen[rows],
        intent[rows],
        np.zeros(len(rows), dtype=np.int64),
        curative[rows],
        half[rows],
        concurrent[rows],
    )
    days = _timeline(
        rng, first, surgery, drugs, rt, neo, pre_rt, concurrent, curative, courses, schedule
    )
    courses = replace(courses, start=tumours.day[rows] + days[1][rows])
    courses = _second_half(rng, courses, tumours.day + days[0], half, curative)
    return Plan(
        surgery=surgery,
        drugs=drugs,
        radiotherapy=rt,
        curative=curative,
        concurrent=concurrent,
        surgery_day=np.where(surgery, tumours.day + days[0], NO_DAY),
        procedure_day=procedure_days(draw.stream(seed, "procedures"), tumours, clinical, surgery),
        rt_day=np.where(rt, tumours.day + days[2], NO_DAY),
        schedule=schedule,
        courses=courses,
        alive_until=_alive_until(rng, (surgery, drugs, rt), days),
    )


def _alive_until(
    rng: np.random.Generator, flags: tuple[Bools, Bools, Bools], days: tuple[Ints, Ints, Ints]
) -> Ints:
    """Days after diagnosis that a treated patient lives for sure: past the last treatment of the
    plan, and most on drugs for some time after their start.
    """
    last = np.max([np.where(flag, day, 0) for flag, day in zip(flags, days, strict=True)], axis=0)
    share, guard_days = load()["early_death_guard"]
    guard = np.where(flags[1] & (rng.random(len(last)) < share), days[1] + guard_days, 0)
    return np.clip(np.maximum(last + 1, guard), 0, 330)


def _flags(
    rng: np.random.Generator, people: People, tumours: Tumours, clinical: Clinical
) -> tuple[Bools, Bools, Bools]:
    """Surgery, drugs, radiotherapy: published shares per cell and stage hold, modifiers act within,
    a Gaussian copula links the three.
    """
    parameters = load()
    raw, who, n = parameters["modifiers"], tumours.patient, len(tumours.cell)
    facts = {
        "age_10y_over_65": (tumours.age - 65) / 10,
        "ps2": clinical.performance >= 2,
        "charlson2": people.charlson[who] >= 2,
        "q1": (5 - people.quintile[who]) / 4,
        "emergency": clinical.route == EMERGENCY,
    }
    # [t, 3]
    effects = np.sum([np.outer(values, raw[name]) for name, values in facts.items()], axis=0)
    flags = np.zeros((n, 3), dtype=bool)
    for key, rows in draw.by_key(tumours.cell * 5 + clinical.stage_column):
        cell, column = cells()[key // 5], key % 5
        table = of_cell(parameters["treatments"], cell)
        targets = np.array(table[column] if len(table) == 5 else table[0]) / 100
        sc, sr, cr = of_cell(parameters["copula"], cell)
        z = rng.multivariate_normal(
            np.zeros(3),
            [[1, sc, sr], [sc, 1, cr], [sr, cr, 1]],
            size=len(rows),
            method="eigh",
            check_valid="ignore",
        )
        for kind in range(3):
            flags[rows, kind] = norm.cdf(z[:, kind]) < draw.recentred(
                effects[rows, kind], float(targets[kind])
            )
    flags[clinical.route == DCO] = False
    return flags[:, 0], flags[:, 1], flags[:, 2]


def _aims(rng: np.random.Generator, tumours: Tumours, clinical: Clinical, surgery: Bools) -> Bools:
    chance = np.zeros(len(surgery))
    for key, rows in draw.by_key(tumours.cell * 5 + clinical.stage_column):
        table = of_cell(load()["curative"], cells()[key // 5])
        chance[rows] = table[key % 5] if len(table) == 5 else table[0]
    return (rng.random(len(surgery)) < chance) | (surgery & (clinical.stage_column != 3))


def _orders(
    rng: np.random.Generator,
    tumours: Tumours,
    pathology: Pathology,
    clinical: Clinical,
    surgery: Bools,
    drugs: Bools,
    rt: Bools,
    curative: Bools,
) -> tuple[Bools, Bools, Bools]:
    """Drugs before surgery, radiotherapy before surgery, drugs with radiotherapy."""
    n, parameters = len(surgery), load()
    per_cell = {
        name: np.array([of_cell(parameters[name], cell) for cell in cells()])[tumours.cell]
        for name in ("neoadjuvant", "preoperative_rt", "concurrent")
    }
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    risky = (group == "Breast") & (pathology.her2_positive | pathology.triple_negative)
    neo_chance = np.where(
        risky, parameters["neoadjuvant"]["Breast HER2 or triple negative"], per_cell["neoadjuvant"]
    )
    concurrent = (
        drugs
        & rt
        & curative
        & (pathology.drug_class != "SCLC")
        & (rng.random(n) < per_cell["concurrent"])
    )
    neo = surgery & drugs & curative & (rng.random(n) < neo_chance)
    before_surgery = np.isin(group, ["Rectum", "Oesophagus"])
    neo = np.where(
        concurrent & surgery & before_surgery, True, np.where(concurrent & surgery, False, neo)
    )
    pre_rt = (
        surgery
        & rt
        & ((rng.random(n) < per_cell["preoperative_rt"]) | (concurrent & before_surgery))
    )
    pre_rt &= (neo & concurrent) | ~drugs | ~neo
    return neo, pre_rt, concurrent


def _intents(
    rng: np.random.Generator, group: Texts, surgery: Bools, neo: Bools, curative: Bools
) -> Texts:
    modification = np.select(
        [group == g for g in load()["disease_modification"]],
        list(load()["disease_modification"].values()),
        0.0,
    )
    palliative = np.where(rng.random(len(group)) < modification, "D", "P")
    return np.where(
        curative & surgery, np.where(neo, "N", "A"), np.where(curative, "C", palliative)
    ).astype(object)


def _first_days(
    rng: np.random.Generator,
    tumours: Tumours,
    clinical: Clinical,
    pathology: Pathology,
    group: Texts,
    surgery: Bools,
    rt: Bools,
) -> Ints:
    """Days from diagnosis to the first treatment; a small share is dated before the diagnosis
    (legal in the registry).
    """
    raw = load()
    table = raw["first_treatment"]
    pairs = np.array([of_cell(table, cell) for cell in cells()])[tumours.cell]
    pairs[pathology.drug_class == "SCLC"] = table["SCLC"]
    pairs[pathology.drug_class == "AML"] = table["AML"]
    pairs[(group == "Prostate") & rt] = table["Prostate RT"]
    pairs[(group == "Prostate") & surgery] = table["Prostate surgery"]
    days = np.clip(draw.lognormal_days(rng, pairs[:, 0], pairs[:, 1], len(group)), 0, 175)
    immediate = raw["emergency_immediate"]
    at_once = (
        (clinical.route == EMERGENCY)
        & np.isin(group, immediate["groups"])
        & (rng.random(len(group)) < immediate["share"])
    )
    days = np.where(at_once, rng.integers(0, 4, len(group)), days)
    early = rng.random(len(group)) < raw["before_diagnosis"]
    return np.where(
        early, -1 - np.minimum(rng.exponential(9, len(group)).astype(np.int64), 30), days
    )


def _timeline(
    rng: np.random.Generator,
    first: Ints,
    surgery: Bools,
    drugs: Bools,
    rt: Bools,
    neo: Bools,
    pre_rt: Bools,
    concurrent: Bools,
    curative: Bools,
    courses: Courses,
    schedule: Ints,
) -> tuple[Ints, Ints, Ints]:
    """Days from diagnosis of surgery, drugs and radiotherapy."""
    raw, n = load(), len(first)
    drug_days = np.zeros(n, dtype=np.int64)
    drug_days[courses.tumour] = last_offset(courses)
    rt_length = np.ceil(
        np.array([s.fractions for s in schedule_list()])[np.maximum(schedule, 0)] * 1.4
    ).astype(np.int64)
    after = {
        name: draw.lognormal_of(rng, raw[name], n)
        for name in (
            "adjuvant_days",
            "postoperative_rt_days",
            "rt_after_drugs_days",
            "surgery_after_days",
        )
    }
    rt_first = rt & (pre_rt | (~surgery & ~drugs) | (~surgery & ~curative & (rng.random(n) < 0.45)))
    drugs_first = drugs & (neo | ~surgery)
    c = np.where(drugs_first, first, first + after["adjuvant_days"])
    r = np.where(rt_first, first, 0)
    s = np.where(neo, c + drug_days + after["surgery_after_days"], first)
    s = np.where(pre_rt & ~neo, r + rt_length + after["surgery_after_days"], s)
    s = np.where(pre_rt & neo, np.maximum(s, c + rt_length + after["surgery_after_days"]), s)
    c = np.where(drugs & surgery & ~neo, s + after["adjuvant_days"], c)
    r_late = np.where(
        surgery & ~(drugs & ~neo),
        s + after["postoperative_rt_days"],
        c + drug_days + after["rt_after_drugs_days"],
    )
    palliative_late = np.where(~curative & drugs & ~surgery, c + rng.integers(0, 120, n), r_late)
    r = np.where(
        rt_first & ~drugs,
        first,
        np.where(rt_first & pre_rt, first, np.where(rt_first & ~curative, first, palliative_late)),
    )
    c = np.where(rt_first & ~curative & drugs & ~surgery, first + rng.integers(10, 60, n), c)
    return s, c, np.where(concurrent, c + rng.integers(0, 3, n), r)


def _second_half(
    rng: np.random.Generator, courses: Courses, surgery_day: Ints, half: Bools, curative: Bools
) -> Courses:
    """The postoperative half of a perioperative plan, for most of those who had the first."""
    rows = np.flatnonzero(half[courses.tumour] & (rng.random(len(courses.tumour)) < 0.6))
    tumour = courses.tumour[rows]
    n = len(rows)
    second = deliver(
        rng,
        tumour,
        courses.regimen[rows],
        np.full(n, "A", dtype=object),
        surgery_day[tumour] + draw.lognormal_days(rng, 48, 0.25, n),
        curative[tumour],
        np.ones(n, dtype=bool),
        np.zeros(n, dtype=bool),
    )
    return courses.joined(replace(second, line=np.full(n, 2)))
