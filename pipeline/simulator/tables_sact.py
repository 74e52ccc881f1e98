"""SIM_SACT_REGIMEN, _CYCLE, _DRUG_DETAIL, _OUTCOME (registry_tables.md 1.3; simulator.md 3.5)."""

import numpy as np
import polars as pl

from pipeline.schema.codes import drug_regimens
from pipeline.simulator import draw
from pipeline.simulator.draw import MISSING, Bools, Floats, Ints, Texts
from pipeline.simulator.drug_administrations import CYCLE_BASE, administrations
from pipeline.simulator.drugs import last_offset
from pipeline.simulator.parameters import load
from pipeline.simulator.values import FIRST_EVENT_DAY, Courses, View
from pipeline.simulator.view import dates, texts

REGIMEN_BASE = 10_000_001


def sact_tables(view: View, seed: int) -> dict[str, pl.DataFrame]:
    """The four drug tables. Every random number is drawn for all latent courses, so that a later
    extract repeats it.
    """
    courses = view.latent.courses
    who = view.latent.tumours.patient[courses.tumour]
    end = view.end[who]
    ids = draw.shuffled_ids(len(courses.tumour), REGIMEN_BASE)
    is_visible = view.tumour_seen[courses.tumour] & (courses.start <= end)
    body = _bodies(view, seed)
    cycles = _cycles(view, courses, ids, end, is_visible, seed)
    details = administrations(courses, cycles, body, end, seed)
    columns = [
        "MERGED_REGIMEN_ID",
        "MERGED_CYCLE_ID",
        "CYCLE_NUMBER",
        "START_DATE_OF_CYCLE",
        "OPCS_PROCUREMENT_CODE",
        "PERF_STATUS_START_OF_CYCLE",
    ]
    return {
        "sim_sact_regimen": _regimens(view, courses, who, ids, is_visible, body, seed),
        "sim_sact_cycle": cycles.select(columns),
        "sim_sact_drug_detail": details.drop("course"),
        "sim_sact_outcome": _outcomes(view, courses, ids, is_visible, details, who, seed),
    }


def _regimens(
    view: View,
    courses: Courses,
    who: Ints,
    ids: Ints,
    is_visible: Bools,
    body: tuple[Floats, Floats],
    seed: int,
) -> pl.DataFrame:
    raw, people = load()["drugs"], view.latent.people
    rng = draw.stream(seed, "regimen rows")
    n = len(ids)
    decision = np.maximum(
        courses.start - np.minimum(draw.lognormal_of(rng, raw["decision"], n), 170), FIRST_EVENT_DAY
    )
    no_decision = rng.random(n) < raw["decision_missing"]
    height, weight = (
        pl.Series(np.round(values, digits)).set(
            pl.Series(rng.random(n) < raw["height_missing"]), None
        )
        for values, digits in ((body[0], 2), (body[1], 1))
    )
    trial = np.where(rng.random(n) < raw["trial"], "Y", "N")
    name, group, chemo_rt = _regimen_codes(courses)
    return pl.DataFrame(
        {
            "ENCORE_PATIENT_ID": people.patient_id[who],
            "MERGED_REGIMEN_ID": ids,
            "HEIGHT_AT_START_OF_REGIMEN": height,
            "WEIGHT_AT_START_OF_REGIMEN": weight,
            "INTENT_OF_TREATMENT": texts(courses.intent),
            "DATE_DECISION_TO_TREAT": dates(decision, no_decision),
            "START_DATE_OF_REGIMEN": dates(courses.start),
            "MAPPED_REGIMEN": name,
            "CLINICAL_TRIAL": texts(trial),
            "CHEMO_RADIATION": chemo_rt,
            "BENCHMARK_GROUP": group,
            "LINK_NUMBER": people.link_number[who],
        }
    ).filter(pl.Series(is_visible))


def _regimen_codes(courses: Courses) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Name, benchmark group and CHEMO_RADIATION of each course's regimen."""
    regimens = list(drug_regimens.regimens().values())
    name, group = (
        texts(np.array(values, dtype=object)[courses.regimen])
        for values in ([r.name for r in regimens], [r.benchmark_group for r in regimens])
    )
    with_rt = np.array([r.chemo_radiation for r in regimens])[courses.regimen]
    return name, group, texts(np.where(courses.concurrent & with_rt, "Y", "N"))


def _bodies(view: View, seed: int) -> tuple[Floats, Floats]:
    """Height in m and weight in kg at the start of each course; children by age."""
    courses, tumours, people = view.latent.courses, view.latent.tumours, view.latent.people
    rng = draw.stream(seed, "bodies")
    who, age = tumours.patient[courses.tumour], tumours.age[courses.tumour]
    weight = people.weight[who] * np.exp(
        0.04 * rng.standard_normal(len(who)) - 0.02 * (courses.line - 1)
    )
    child = age < 17
    return (
        np.where(child, np.minimum(0.72 + 0.06 * age, people.height[who]), people.height[who]),
        np.where(child, np.minimum(9.0 + 2.8 * age, people.weight[who]), np.clip(weight, 32, 200)),
    )


def _cycles(
    view: View, courses: Courses, ids: Ints, end: Ints, is_visible: Bools, seed: int
) -> pl.DataFrame:
    """One row per delivered and visible cycle, with helper columns `course`, `plan_cycle` and
    `next_day`.
    """
    rng = draw.stream(seed, "cycle rows")
    course = np.repeat(np.arange(len(ids)), courses.cycles)
    number = np.arange(len(course)) - np.repeat(
        np.cumsum(courses.cycles) - courses.cycles, courses.cycles
    )
    day = courses.start[course] + courses.offsets[course, number]
    following = (
        courses.start[course]
        + courses.offsets[course, np.minimum(number + 1, courses.offsets.shape[1] - 1)]
    )
    last = number == courses.cycles[course] - 1
    status = _performance(rng, view, courses.tumour[course])
    procurement = np.array(list(drug_regimens.procurement_codes().values()), dtype=object)[
        courses.regimen[course]
    ]
    frame = pl.DataFrame(
        {
            "MERGED_REGIMEN_ID": ids[course],
            "MERGED_CYCLE_ID": draw.shuffled_ids(len(course), CYCLE_BASE),
            "CYCLE_NUMBER": number + 1,
            "START_DATE_OF_CYCLE": dates(day),
            "OPCS_PROCUREMENT_CODE": texts(procurement),
            "PERF_STATUS_START_OF_CYCLE": texts(status),
            "course": course,
            "plan_cycle": number + courses.first_cycle[course],
            "day": day,
            "next_day": np.where(last, 10**6, following),
            "regimen": courses.regimen[course],
        }
    )
    return frame.filter(pl.Series(is_visible[course] & (day <= end[course])))


def _performance(rng: np.random.Generator, view: View, tumour: Ints) -> Texts:
    """PERF_STATUS_START_OF_CYCLE of cycles for these tumours: a digit of WHO, two digits of Lansky
    for the young, now and then a code that says nothing.
    """
    raw, n = load()["drugs"], len(tumour)
    step = rng.choice([-1, 0, 0, 0, 0, 1], size=n)
    digit = np.clip(view.latent.clinical.performance[tumour] + step, 0, 4).astype(str)
    young = view.latent.tumours.age[tumour] < raw["child"]
    status = np.where(young, np.char.zfill(digit, 2), digit).astype(object)
    odd = np.flatnonzero(rng.random(n) < raw["cycle_ps_codes"]["share"])
    status[odd] = draw.choose(rng, raw["cycle_ps_codes"]["codes"], len(odd))
    return np.where(rng.random(n) < raw["cycle_ps_missing"], MISSING, status)


def _outcomes(
    view: View,
    courses: Courses,
    ids: Ints,
    is_visible: Bools,
    details: pl.DataFrame,
    who: Ints,
    seed: int,
) -> pl.DataFrame:
    """Outcome of the courses that have ended: a course still running at the extract has none."""
    raw, rng, n = load(), draw.stream(seed, "outcomes"), len(ids)
    end_of_course = courses.start + last_offset(courses)
    last = np.zeros(n, dtype=np.int64)
    final = details.group_by("course").agg(
        pl.col("ADMINISTRATION_DATE").max().to_physical().alias("day")
    )
    last[final["course"].to_numpy()] = final["day"].to_numpy()
    death = view.latent.survival.death[who]
    died = (death - last <= 30) & (rng.random(n) < raw["outcome"]["died_within_30_days"])
    summary = _planned_outcomes(rng, courses)
    short = courses.cycles < courses.plan_cycles
    summary = np.where(short & (summary == "0"), np.where(courses.curative, "2", "1"), summary)
    summary = np.where(died, "3", np.where(~short & (rng.random(n) < 0.75), "0", summary))
    summary = np.where(died, summary, _with_letters(rng, summary))
    recorded, no_summary = (
        rng.random(n) >= raw["drugs"]["no_outcome_row"],
        rng.random(n) < raw["drugs"]["no_outcome_summary"],
    )
    settled = np.where(died, death, np.minimum(end_of_course, death))
    visible = is_visible & recorded & (settled <= view.end[who]) & (last > 0)
    stopped = short & (rng.random(n) < raw["drugs"]["stopped_early_recorded"])
    flag: list[Texts] = [
        np.where(condition, "Y", "N").astype(object)
        for condition in (courses.reduced, courses.delayed, stopped)
    ]
    return pl.DataFrame(
        {
            "MERGED_REGIMEN_ID": ids,
            "DATE_OF_FINAL_TREATMENT": dates(last),
            "REGIMEN_MOD_DOSE_REDUCTION": texts(flag[0]),
            "REGIMEN_MOD_TIME_DELAY": texts(flag[1]),
            "REGIMEN_MOD_STOPPED_EARLY": texts(flag[2]),
            "REGIMEN_OUTCOME_SUMMARY": texts(np.where(no_summary, MISSING, summary)),
        }
    ).filter(pl.Series(visible))


def _planned_outcomes(rng: np.random.Generator, courses: Courses) -> Texts:
    """How courses end where neither death nor an early stop says it."""
    raw, n = load()["outcome"], len(courses.curative)
    curative, palliative = (draw.choose(rng, raw[aim], n) for aim in ("curative", "palliative"))
    return np.where(courses.curative, curative, palliative).astype(object)


def _with_letters(rng: np.random.Generator, summary: Texts) -> Texts:
    """The summaries, a few of them one of the registry's letters instead of a digit."""
    raw, n = load()["outcome"]["letters"], len(summary)
    return np.where(rng.random(n) < raw["share"], draw.choose(rng, raw["codes"], n), summary)
