"""Drug courses: which regimen, how many of its cycles, on which days (simulator.md 3.5)."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.refusal import Refusal
from pipeline.schema.codes import drug_regimens
from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Floats, Ints, Texts
from pipeline.simulator.parameters import load
from pipeline.simulator.values import Courses

MAX_CYCLES = 30


def last_offset(courses: Courses) -> Ints:
    """Days from the start to the start of the last delivered cycle, plus its length, [c]."""
    rows = np.arange(len(courses.cycles))
    last = np.minimum(courses.first_cycle + courses.cycles - 1, MAX_CYCLES - 1)
    length = plan_days()[courses.regimen, last]
    return courses.offsets[rows, courses.cycles - 1] + np.minimum(length, 21)


@cache
def plan_days() -> NDArray[np.int64]:
    """[regimens, 30] days of the plan from each cycle to the next."""
    table = np.full((len(drug_regimens.regimens()), MAX_CYCLES), 21, dtype=np.int64)
    for index, regimen in enumerate(drug_regimens.regimens().values()):
        table[index, : regimen.cycles] = regimen.cycle_days
    return table


def choose_regimens(
    rng: np.random.Generator,
    group: Texts,
    sex: Texts,
    drug_class: Texts,
    intent: Texts,
    concurrent: Bools,
    is_treated: Bools,
) -> tuple[Ints, Texts]:
    """Regimen index and the intent that it allows for each row that `is_treated`; -1 elsewhere."""
    regimen, final = np.full(len(group), -1), intent.copy()
    rows = np.flatnonzero(is_treated)
    keys = np.array(
        [
            f"{g}|{s}|{d}|{i}|{int(c)}"
            for g, s, d, i, c in zip(
                group[rows],
                sex[rows],
                drug_class[rows],
                intent[rows],
                concurrent[rows],
                strict=True,
            )
        ],
        dtype=object,
    )
    for key, members in draw.by_key(keys.astype(str)) if len(rows) else []:
        indices, weights, allowed = eligible(*key.split("|"))
        regimen[rows[members]] = indices[draw.choose_index(rng, weights, len(members))]
        final[rows[members]] = allowed
    return regimen, final


@cache
def eligible(
    group: str, sex: str, drug_class: str, intent: str, concurrent: str
) -> tuple[Ints, Floats, str]:
    """Indices and weights of the regimens for one kind of patient, and the intent they are given
    with.

    Where nothing fits, the intent gives way first, then the class, then the wish for concurrent
    radiotherapy.
    """
    fallbacks = {"N": "NCAPD", "A": "ANCPD", "C": "CNDPA", "P": "PDCAN", "D": "DPCAN"}[intent]
    for with_rt in [True, False] if concurrent == "1" else [False]:
        for class_matters in (True, False):
            weights = _weights(
                group, sex, drug_class, class_matters=class_matters, chemo_radiation=with_rt
            )
            for fallback in fallbacks[:3] if with_rt else fallbacks:
                indices = [i for i in weights if fallback in _regimen_list()[i].intents]
                if indices:
                    return np.array(indices), np.array([weights[i] for i in indices]), fallback
    raise Refusal(
        f"simulator: no regimen for {group}, sex {sex}: add one to datasets/codes/regimens.yaml"
    )


def _weights(
    group: str, sex: str, drug_class: str, *, class_matters: bool, chemo_radiation: bool
) -> dict[int, float]:
    """Index -> weight of the regimens for a site group and sex; where `class_matters`, only those
    for tumours of this class.
    """
    needs = load()["regimen_needs"].get(group, {})
    class_weight = load()["regimen_class_weight"].get(drug_class)
    only = load()["regimens_of_class"].get(drug_class)
    free_fits = class_weight is not None or drug_class not in needs.values()
    weights = {}
    for index, regimen in enumerate(_regimen_list()):
        need = needs.get(regimen.name)
        fits = need == drug_class if need else free_fits
        if only is not None:
            fits = regimen.name in only
        if (
            group in regimen.share
            and sex in regimen.sexes
            and regimen.chemo_radiation == chemo_radiation
            and (fits or not class_matters)
        ):
            factor = class_weight if class_weight and need == drug_class else 1
            weights[index] = float(regimen.share[group] * factor)
    return weights


def _regimen_list() -> tuple[drug_regimens.Regimen, ...]:
    return tuple(drug_regimens.regimens().values())


def deliver(
    rng: np.random.Generator,
    tumour: Ints,
    regimen: Ints,
    intent: Texts,
    start: Ints,
    curative: Bools,
    half: Bools,
    concurrent: Bools,
) -> Courses:
    """Cycles delivered and their days. `half`: only half of the plan (perioperative)."""
    raw, n = load()["drugs"], len(tumour)
    whole = np.array([r.cycles for r in drug_regimens.regimens().values()])[regimen]
    plan_cycles = np.where(half, (whole + 1) // 2, whole)
    complete = rng.random(n) < np.where(curative, raw["complete"][0], raw["complete"][1])
    stop: Floats = np.where(curative, raw["stop"][0], raw["stop"][1])
    room = np.maximum(plan_cycles - 1, 1)
    u = rng.random(n) * (1 - (1 - stop) ** room)
    stopped = np.clip(1 + np.floor(np.log1p(-u) / np.log1p(-stop)).astype(np.int64), 1, room)
    cycles = np.where(complete, plan_cycles, np.minimum(stopped, plan_cycles))
    delayed = rng.random(n) < raw["delayed"]
    gaps = plan_days()[regimen][:, : MAX_CYCLES - 1].copy()
    u = rng.random(gaps.shape)
    week = delayed[:, None] & (u < raw["delay_per_cycle"])
    small = (u >= 0.5) & (u < 0.5 + raw["small_delay"])
    early = (u >= 0.7) & (u < 0.7 + raw["early"]) & ~delayed[:, None]
    gaps += 7 * week + rng.integers(1, 5, gaps.shape) * small - early
    offsets = np.concatenate(
        [np.zeros((n, 1), dtype=np.int64), np.cumsum(gaps, axis=1)], axis=1
    ).astype(np.int16)
    return Courses(
        tumour=tumour,
        regimen=regimen,
        intent=intent,
        start=start,
        line=np.ones(n, dtype=np.int64),
        cycles=cycles,
        offsets=offsets,
        plan_cycles=plan_cycles,
        delayed=delayed,
        reduced=rng.random(n) < raw["reduction"],
        curative=curative,
        concurrent=concurrent,
        first_cycle=np.zeros(n, dtype=np.int64),
    )


def recorded_apart(rng: np.random.Generator, courses: Courses) -> Courses:
    """Courses as the registry lists them: many a plan is two regimens there, since the second
    drugs of a sequence, a break or another hospital begin a new record.
    """
    curative, palliative = load()["drugs"]["recorded_apart"]
    share = np.where(courses.curative, curative, palliative)
    rows = np.flatnonzero(
        (courses.cycles >= 2) & ~courses.concurrent & (rng.random(len(share)) < share)
    )
    first, n = courses.take(rows), len(rows)
    cut = 1 + np.floor(rng.random(n) * (first.cycles - 1)).astype(np.int64)
    change = _changes()[first.regimen] - first.first_cycle
    cut = np.where((change > 0) & (change < first.cycles), change, cut)
    column = np.minimum(np.arange(MAX_CYCLES) + cut[:, None], MAX_CYCLES - 1)
    passed = first.offsets[np.arange(n), cut]
    rest = replace(
        first,
        start=first.start + passed,
        cycles=first.cycles - cut,
        plan_cycles=np.maximum(first.plan_cycles - cut, 1),
        first_cycle=first.first_cycle + cut,
        offsets=np.take_along_axis(first.offsets, column, axis=1) - passed[:, None],
    )
    cycles, plan_cycles = courses.cycles.copy(), courses.plan_cycles.copy()
    cycles[rows] = plan_cycles[rows] = cut
    return replace(courses, cycles=cycles, plan_cycles=plan_cycles).joined(rest)


@cache
def _changes() -> NDArray[np.int64]:
    """[regimens] the number of cycles of a plan after which other drugs are given; 0 for none."""
    starts = [
        min((drug.first_cycle for drug in regimen.drugs if drug.first_cycle > 1), default=1)
        for regimen in _regimen_list()
    ]
    return np.array(starts) - 1


def cut_at_death(rng: np.random.Generator, courses: Courses, death: Ints) -> Courses:
    """Courses without what would come after death [c]; most stop a month before it. A course that
    would start after death is dropped.
    """
    courses, death = courses.take(courses.start <= death), death[courses.start <= death]
    n, raw = len(death), load()["drugs"]
    gap = np.where(
        rng.random(n) < raw["last_cycle_near_death"],
        rng.integers(0, 31, n),
        31 + rng.exponential(25, n),
    ).astype(np.int64)
    last = death - gap
    fits = (courses.start[:, None] + courses.offsets <= last[:, None]).sum(axis=1)
    return Courses(
        **{
            **{f.name: getattr(courses, f.name) for f in fields(courses)},
            "cycles": np.clip(np.minimum(courses.cycles, fits), 1, None),
        }
    )
