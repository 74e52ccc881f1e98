"""Radiotherapy episodes: schedule, region, one attendance per fraction on working days
(simulator.md 3.5).
"""

from functools import cache
from typing import Any

import numpy as np

from pipeline.schema.codes import radiotherapy_schedules
from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Ints, Texts
from pipeline.simulator.parameters import load
from pipeline.simulator.values import Episodes

BANK_HOLIDAYS = np.array(
    [f"{year}-{day}" for year in range(2015, 2031) for day in ("01-01", "12-25", "12-26")]
    + [
        "2016-03-25",
        "2016-03-28",
        "2016-05-02",
        "2016-05-30",
        "2016-08-29",
        "2016-12-27",
        "2017-01-02",
        "2017-04-14",
        "2017-04-17",
        "2017-05-01",
        "2017-05-29",
        "2017-08-28",
        "2018-03-30",
        "2018-04-02",
        "2018-05-07",
        "2018-05-28",
        "2018-08-27",
        "2019-04-19",
        "2019-04-22",
        "2019-05-06",
        "2019-05-27",
        "2019-08-26",
        "2020-04-10",
        "2020-04-13",
        "2020-05-08",
        "2020-05-25",
        "2020-08-31",
        "2020-12-28",
        "2021-04-02",
        "2021-04-05",
        "2021-05-03",
        "2021-05-31",
        "2021-08-30",
        "2021-12-27",
        "2021-12-28",
    ],
    dtype="datetime64[D]",
)


@cache
def schedule_list() -> tuple[radiotherapy_schedules.Schedule, ...]:
    """All distinct schedules of all groups in one order."""
    return tuple(
        dict.fromkeys(
            schedule for group in radiotherapy_schedules.schedules().values() for schedule in group
        )
    )


def choose_schedules(
    rng: np.random.Generator,
    group: Texts,
    curative: Bools,
    concurrent: Bools,
    day: Ints,
    is_treated: Bools,
) -> Ints:
    """Schedule index per row that `is_treated`, -1 elsewhere; with drugs only long courses, new
    schedules only from their first year.
    """
    answer = np.full(len(group), -1)
    year = (day + 120) // 365.2425 + 1970
    for name in np.unique(group[is_treated].astype(str)):
        for cure in (False, True):
            for long in (False, True):
                rows = np.flatnonzero(
                    is_treated & (group == name) & (curative == cure) & (concurrent == long)
                )
                answer[rows] = _choose(
                    rng, name, "curative" if cure else "palliative", 15 if long else 1, year[rows]
                )
    return answer


def _choose(
    rng: np.random.Generator, group: str, kind: str, least_fractions: int, year: Any
) -> Ints:
    order = schedule_list()
    offered = [s for s in radiotherapy_schedules.schedules()[group] if s.kind == kind]
    offered = [s for s in offered if s.fractions >= least_fractions] or offered
    weights = np.array(
        [[s.share if s.years[0] <= y <= s.years[1] else 0.0 for s in offered] for y in (2000, 2020)]
    )[(np.asarray(year) >= 2020).astype(int)]
    if len(weights) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.array([order.index(s) for s in offered])[draw.choose_rows(rng, weights)]


def episodes(
    rng: np.random.Generator, tumour: Ints, group: Texts, start: Ints, schedule: Ints
) -> Episodes:
    """Episodes that start on the first working day at or after `start`."""
    raw, n = load()["radiotherapy"], len(tumour)
    kinds = np.array([s.kind for s in schedule_list()], dtype=object)[schedule]
    both = np.select(
        [group == g for g in raw["both_regions"]],
        list(raw["both_regions"].values()),
        raw["both_regions"]["default"],
    )
    palliative = np.where(rng.random(n) < raw["metastasis"], "M", "P")
    region = np.where(
        kinds == "palliative",
        palliative,
        np.where((kinds == "curative") & (rng.random(n) < both), "PR", "P"),
    ).astype(object)
    fractions = np.array([s.fractions for s in schedule_list()])[schedule]
    whole = rng.random(n) < np.where(kinds == "palliative", raw["complete"][1], raw["complete"][0])
    delivered = np.where(whole, fractions, 1 + np.floor(rng.random(n) * fractions).astype(np.int64))
    first = np.busday_offset(
        start.astype("datetime64[D]"), 0, roll="forward", holidays=BANK_HOLIDAYS
    ).astype(np.int64)
    return Episodes(
        tumour=tumour, start=first, schedule=schedule, region=region, delivered=delivered
    )


def boosts(rng: np.random.Generator, main: Episodes, group: Texts) -> Episodes:
    """Brachytherapy after external treatment where the site and schedule ask for it."""
    raw = load()["radiotherapy"]["brachytherapy_boost"]
    schedules = schedule_list()
    fractions = np.array([s.fractions for s in schedules])[main.schedule]
    curative = np.array([s.kind == "curative" for s in schedules])[main.schedule]
    chance = np.select([group == g for g in raw], list(raw.values()), 0.0)
    chance = np.where(group == "Prostate", (fractions == 23) * 1.0, chance)
    rows = np.flatnonzero(
        curative & (main.delivered == fractions) & (rng.random(len(chance)) < chance)
    )
    schedule = np.full(len(rows), -1)
    for name in np.unique(group[rows].astype(str)):
        some = np.flatnonzero(group[rows] == name)
        schedule[some] = _choose(rng, name, "brachytherapy", 1, np.full(len(some), 2018))
    return episodes(
        rng,
        main.tumour[rows],
        group[rows],
        main.start[rows] + np.ceil(fractions[rows] * 1.45).astype(np.int64) + 7,
        schedule,
    )


def attendance_days(starts: Ints, fractions: Ints, doses_per_fraction: Any) -> tuple[Ints, Ints]:
    """(episode index, day) of every attendance: daily on working days; large fractions every other
    working day.
    """
    index = np.repeat(np.arange(len(starts)), fractions)
    number = np.arange(len(index)) - np.repeat(np.cumsum(fractions) - fractions, fractions)
    step = np.where(np.asarray(doses_per_fraction) >= 7, 2, 1)[index]
    days = np.busday_offset(
        starts[index].astype("datetime64[D]"), number * step, roll="forward", holidays=BANK_HOLIDAYS
    )
    return index, days.astype(np.int64)
