"""What follows the primary treatment: later lines, recurrence, and what death cuts off
(registry_tables.md 2.2; simulator.md 3.5).
"""

from dataclasses import replace

import numpy as np

from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Ints, Texts
from pipeline.simulator.drugs import (
    choose_regimens,
    cut_at_death,
    deliver,
    last_offset,
    recorded_apart,
)
from pipeline.simulator.parameters import cells, load
from pipeline.simulator.radiotherapy import boosts, choose_schedules, episodes, schedule_list
from pipeline.simulator.values import Courses, Episodes, Pathology, People, Plan, Survival, Tumours


def all_courses_and_episodes(
    people: People,
    tumours: Tumours,
    pathology: Pathology,
    plan: Plan,
    survival: Survival,
    seed: int,
) -> tuple[Courses, Episodes]:
    """Every drug course and radiotherapy episode of a latent lifetime, cut at death, tumours never
    diagnosed left out.
    """
    rng = draw.stream(seed, "later")
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    death = survival.death[tumours.patient]  # [t]
    is_diagnosed = np.zeros(len(group), dtype=bool)
    is_diagnosed[survival.diagnoses] = True

    first = plan.courses.take(is_diagnosed[plan.courses.tumour])
    first = cut_at_death(rng, first, death[first.tumour])
    relapse = _relapse_days(rng, tumours, plan, first, survival, is_diagnosed)
    courses = first.joined(
        _line(
            rng,
            people,
            tumours,
            pathology,
            group,
            np.flatnonzero(relapse[1]),
            relapse[0][relapse[1]],
            death,
            1,
        )
    )
    line = courses.take(~courses.curative)
    for number in range(2, load()["drugs"]["max_lines"] + 1):
        line = _next_line(rng, people, tumours, pathology, group, line, death, number)
        courses = courses.joined(line)
    courses = recorded_apart(rng, courses)
    order = np.lexsort((courses.start, courses.tumour))
    return courses.take(order), _all_episodes(
        rng, tumours, plan, group, relapse, death, is_diagnosed
    )


def _line(
    rng: np.random.Generator,
    people: People,
    tumours: Tumours,
    pathology: Pathology,
    group: Texts,
    tumour: Ints,
    start: Ints,
    death: Ints,
    number: int,
) -> Courses:
    """Palliative courses of these tumours."""
    n = len(tumour)
    no, everyone = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    regimen, intent = choose_regimens(
        rng,
        group[tumour],
        people.sex[tumours.patient[tumour]],
        pathology.drug_class[tumour],
        np.full(n, "P", dtype=object),
        no,
        everyone,
    )
    courses = replace(
        deliver(rng, tumour, regimen, intent, start, no, no, no), line=np.full(n, number)
    )
    return cut_at_death(rng, courses, death[tumour])


def _next_line(
    rng: np.random.Generator,
    people: People,
    tumours: Tumours,
    pathology: Pathology,
    group: Texts,
    before: Courses,
    death: Ints,
    number: int,
) -> Courses:
    raw = load()["drugs"]
    n = len(before.tumour)
    start = (
        before.start
        + last_offset(before)
        + draw.lognormal_days(rng, raw["next_gap"][0], raw["next_gap"][1], n)
    )
    room = np.where(rng.random(n) < raw["early_line_near_death"], 0, 45)
    goes = (rng.random(n) < raw["next_line"]) & (start + room <= death[before.tumour])
    return _line(
        rng, people, tumours, pathology, group, before.tumour[goes], start[goes], death, number
    )


def _relapse_days(
    rng: np.random.Generator,
    tumours: Tumours,
    plan: Plan,
    first: Courses,
    survival: Survival,
    is_diagnosed: Bools,
) -> tuple[Ints, Bools, Bools]:
    """Day of relapse of those treated with curative aim who die of that tumour; who then has drugs;
    who has radiotherapy.
    """
    raw, n = load()["recurrence"], len(tumours.cell)
    end = np.maximum(np.maximum(plan.surgery_day, plan.rt_day + 45), tumours.day + 60)
    np.maximum.at(end, first.tumour, first.start + last_offset(first))
    death = survival.death[tumours.patient]
    killer = survival.of_cancer[tumours.patient] == np.arange(n)
    treated = plan.surgery | plan.drugs | plan.radiotherapy
    relapses = (
        is_diagnosed
        & plan.curative
        & treated
        & killer
        & (death - end > 120)
        & (rng.random(n) < raw["seen"])
    )
    gap = (0.3 + 0.6 * rng.random(n)) * np.minimum(death - end, 6000)
    day = end + np.floor(gap).astype(np.int64)
    young = np.clip(1.3 - (tumours.age - 55) / 60, 0.2, 1.5)
    with_drugs: Bools = relapses & (rng.random(n) < raw["drugs"] * young)
    return (
        np.asarray(day, dtype=np.int64),
        with_drugs,
        relapses & (rng.random(n) < raw["radiotherapy"]),
    )


def _all_episodes(
    rng: np.random.Generator,
    tumours: Tumours,
    plan: Plan,
    group: Texts,
    relapse: tuple[Ints, Bools, Bools],
    death: Ints,
    is_diagnosed: Bools,
) -> Episodes:
    rows = np.flatnonzero(is_diagnosed & plan.radiotherapy & (plan.rt_day <= death))
    primary = episodes(rng, rows, group[rows], plan.rt_day[rows], plan.schedule[rows])
    later = np.flatnonzero(relapse[2])
    day = relapse[0][later] + rng.integers(0, 60, len(later))
    later, day = later[day < death[later]], day[day < death[later]]
    no = np.zeros(len(later), dtype=bool)
    schedule = choose_schedules(rng, group[later], no, no, day, np.ones(len(later), dtype=bool))
    everything = primary.joined(boosts(rng, primary, group[primary.tumour])).joined(
        episodes(rng, later, group[later], day, schedule)
    )
    everything = everything.joined(_second_palliative(rng, everything, group))
    everything = everything.take(everything.start <= death[everything.tumour])
    return everything.take(np.lexsort((everything.start, everything.tumour)))


def _second_palliative(rng: np.random.Generator, before: Episodes, group: Texts) -> Episodes:
    """A further palliative episode for some of those who had one."""
    palliative = np.array([s.kind == "palliative" for s in schedule_list()])[before.schedule]
    rows = np.flatnonzero(
        palliative & (rng.random(len(palliative)) < load()["radiotherapy"]["again"])
    )
    tumour = before.tumour[rows]
    start = before.start[rows] + 25 + draw.lognormal_days(rng, 80, 0.7, len(rows))
    no = np.zeros(len(rows), dtype=bool)
    schedule = choose_schedules(rng, group[tumour], no, no, start, np.ones(len(rows), dtype=bool))
    return episodes(rng, tumour, group[tumour], start, schedule)
