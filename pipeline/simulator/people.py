"""Who gets which tumour when: patients and their tumours before anything clinical (simulator.md 3.1
and 3.2).
"""

from itertools import combinations

import numpy as np
from scipy.stats import truncnorm

from pipeline.schema.codes import lists
from pipeline.simulator import DEFAULT_EXTRACT, draw
from pipeline.simulator.draw import Floats, Ints, Texts
from pipeline.simulator.parameters import Cell, cells, load
from pipeline.simulator.values import People, Tumours

FIRST_DAY = np.datetime64("2016-01-01").astype(int)
LAST_DAY = np.datetime64("2019-12-31").astype(int)
DEFAULT_DAY = np.datetime64(DEFAULT_EXTRACT).astype(int)
# every key below 2**31, as public loaders take INTEGER; patients and tumours have 8 digits
PATIENT_BASE, TUMOUR_BASE, LINK_BASE = 10_000_001, 10_000_001, 100_000_001
FAMILIES = {"black": "MNP", "asian": "HJKLR", "mixed": "DEFG", "other": "S"}


def people_and_tumours(n_patients: int, seed: int) -> tuple[People, Tumours]:
    """n_patients registered by the default extract date, and those who register later."""
    m = int(np.ceil(n_patients / load()["registered_by_default_date"]))
    rng = draw.stream(seed, "people")
    pairs = np.array([cell.cases for cell in cells()])  # [cells, 2]
    flat = draw.choose_index(rng, pairs.ravel(), m)
    cell, sex = flat // 2, np.where(flat % 2 == 0, "1", "2").astype(object)
    day = _days(rng, m)
    age = _ages(rng, cell)
    tumours = _all_tumours(draw.stream(seed, "more tumours"), cell, sex, day, age)
    people = _people(draw.stream(seed, "patients"), cell, sex, age, day, n_patients)
    return people, tumours


def _days(rng: np.random.Generator, n: int) -> Ints:
    years = load()["years"]
    year = draw.choose_index(rng, np.array(list(years.values())), n) + min(years)
    start = np.array([np.datetime64(f"{y}-01-01").astype(int) for y in (*years, max(years) + 1)])
    length = np.diff(start)
    return start[year - min(years)] + np.floor(rng.random(n) * length[year - min(years)]).astype(
        np.int64
    )


def _ages(rng: np.random.Generator, cell: Ints) -> Floats:
    """Exact ages, truncated normal per cell on [min, 101)."""
    mean, sd, low = (np.array([c.age[i] for c in cells()])[cell] for i in range(3))
    mean = mean + np.where(mean > 20, load()["age_shift"], 0)
    return np.asarray(
        truncnorm.ppf(
            rng.random(len(cell)), (low - mean) / sd, (101 - mean) / sd, loc=mean, scale=sd
        )
    )


def _all_tumours(
    rng: np.random.Generator, cell: Ints, sex: Texts, day: Ints, age: Floats
) -> Tumours:
    m, multiple = len(cell), load()["multiple"]
    rows = [(np.arange(m), np.zeros(m, dtype=np.int64), cell, day, age)]
    for order, chance in ((1, multiple["second"]), (2, multiple["third"])):
        before, _, before_cell, before_day, before_age = rows[-1]
        some = (rng.random(len(before)) < chance) & (LAST_DAY - before_day > 30)
        who, at = before[some], before_day[some]
        room = (LAST_DAY - at).astype(float)
        u = rng.random(len(who))
        scale = multiple["gap_days"]
        gap = np.clip(-scale * np.log(1 - u * (1 - np.exp(-room / scale))), 14, room).astype(
            np.int64
        )
        later_age = before_age[some] + gap / 365.25
        rows.append(
            (
                who,
                np.full(len(who), order),
                _second_cells(rng, before_cell[some], sex[who], later_age),
                at + gap,
                later_age,
            )
        )
    patient, order_, cell_, day_, age_ = (
        np.concatenate([row[i] for row in rows]) for i in range(5)
    )
    return Tumours(
        tumour_id=draw.shuffled_ids(len(patient), TUMOUR_BASE),
        patient=patient,
        order=order_,
        cell=cell_,
        site=_sites(rng, cell_),
        day=day_,
        age=np.floor(age_).astype(np.int64),
        age_exact=age_,
    )


def _second_cells(rng: np.random.Generator, first: Ints, sex: Texts, age: Floats) -> Ints:
    """A further tumour by incidence at that sex and age, the same organ more often."""
    mean, sd, low = (np.array([c.age[i] for c in cells()]) for i in range(3))
    at_age = np.exp(-0.5 * ((age[:, None] - mean) / sd) ** 2) / sd * (age[:, None] >= low)
    # [n, cells]
    weights = np.array([c.cases for c in cells()]).T[(sex == "2").astype(int)] * np.maximum(
        at_age, 1e-12
    )
    factors = load()["multiple"]["same_group_factor"]
    for index, c in enumerate(cells()):
        same = np.array([other.group == c.group for other in cells()])
        rows = first == index
        weights[np.ix_(rows, same)] *= factors.get(c.group, 1)
    return draw.choose_rows(rng, weights)


def _sites(rng: np.random.Generator, cell: Ints) -> Texts:
    site = np.empty(len(cell), dtype=object)
    for index, rows in draw.by_key(cell):
        site[rows] = draw.choose(rng, cells()[index].sites, len(rows))
    return site


def _people(
    rng: np.random.Generator, cell: Ints, sex: Texts, age: Floats, day: Ints, n_registered: int
) -> People:
    parameters, m = load(), len(cell)
    quintile = _quintiles(rng, cell)
    ethnicity = _ethnicity(rng, cell, age)
    charlson = _charlson(rng, age, quintile)
    body = parameters["body"]
    mean_h, sd_h, mean_w, sd_w = (
        np.where(sex == "1", body["male"][i], body["female"][i]) for i in range(4)
    )
    embarked = np.where(
        rng.random(m) < parameters["survival"]["embarked"],
        day + 30 + np.floor(rng.random(m) * 2000),
        10**6,
    ).astype(np.int64)
    return People(
        patient_id=PATIENT_BASE + np.arange(m, dtype=np.int64),
        link_number=draw.shuffled_ids(m, LINK_BASE),
        sex=sex,
        ethnicity=ethnicity,
        asian=np.isin(ethnicity, list(FAMILIES["asian"])),
        quintile=quintile,
        region=draw.choose(rng, parameters["regions"], m),
        registered=_registered(rng, day, n_registered),
        charlson=charlson,
        comorbidities=_comorbidities(rng, charlson),
        embarked=embarked,
        height=np.clip(mean_h + sd_h * rng.standard_normal(m), 1.35, 2.1),
        weight=np.clip(mean_w + sd_w * rng.standard_normal(m), 36, 180),
    )


def _registered(rng: np.random.Generator, day: Ints, n_registered: int) -> Ints:
    """The first n are registered by the default extract date, with a lag after diagnosis; the rest
    over the years after it.
    """
    median, sigma = load()["registration_lag"]
    room = (DEFAULT_DAY - day).astype(float)
    lag = median * np.exp(sigma * rng.standard_normal(len(day)))
    in_time = day + np.where(lag <= room, lag, rng.random(len(day)) * room)
    late = DEFAULT_DAY + 1 + rng.random(len(day)) * load()["late_registration_days"]
    return np.where(np.arange(len(day)) < n_registered, np.floor(in_time), np.floor(late)).astype(
        np.int64
    )


def _quintiles(rng: np.random.Generator, cell: Ints) -> Ints:
    """Fifths of deprivation, tilted per cell on a log-linear scale around the all-site shares."""
    base = np.array(load()["imd"], dtype=float)
    tilt = np.array([c.tilt for c in cells()])[cell]
    return 1 + draw.choose_rows(rng, base * tilt[:, None] ** np.linspace(0.5, -0.5, 5))


def _ethnicity(rng: np.random.Generator, cell: Ints, age: Floats) -> Texts:
    raw = load()["ethnicity"]
    letters = np.array(list(raw["known"]), dtype=object)
    answer = np.empty(len(cell), dtype=object)
    for index, rows in draw.by_key(cell):
        c: Cell = cells()[index]
        odds = raw["odds"].get(c.name, raw["odds"].get(c.group, {}))
        factor = np.array(
            [
                next(
                    (
                        odds.get(family, 1)
                        for family, members in FAMILIES.items()
                        if letter in members
                    ),
                    1,
                )
                for letter in letters
            ]
        )
        weights = np.array(list(raw["known"].values())) * factor
        effect = (
            np.where(np.isin(letters, ["A", "B", "C"]), 0.0, 1.0)
            * (-raw["younger_per_year"] * (age[rows] - c.age[0]))[:, None]
        )
        answer[rows] = letters[draw.choose_rows(rng, draw.tilted(weights, effect))]
    unknown = rng.random(len(cell)) < sum(raw["unknown"].values()) / 100
    answer[unknown] = draw.choose(rng, raw["unknown"], int(unknown.sum()))
    answer[rng.random(len(cell)) < raw["missing"]] = None
    return answer


def _charlson(rng: np.random.Generator, age: Floats, quintile: Ints) -> Ints:
    """Totals 0..6 whose shares hold exactly, higher with age and deprivation."""
    raw = load()["charlson"]
    score = (
        raw["age"] * (age - 65) + raw["deprivation"] * (3 - quintile) + rng.logistic(size=len(age))
    )
    edges = np.quantile(score, np.cumsum(raw["shares"])[:-1] / np.sum(raw["shares"]))
    return np.searchsorted(edges, score)


def _comorbidities(rng: np.random.Generator, total: Ints) -> Texts:
    """Comma-separated groups whose hierarchical weights sum to each total; "" for none."""
    prevalence = load()["comorbidities"]
    lists_by_total: dict[int, dict[str, float]] = {}
    for size in range(1, 5):
        for groups in combinations(prevalence, size):
            weight = float(np.prod([prevalence[g] / 50 for g in groups]))
            lists_by_total.setdefault(lists.charlson_total(groups), {})[",".join(groups)] = weight
    answer = np.full(len(total), "", dtype=object)
    for value, rows in draw.by_key(total):
        if value > 0:
            answer[rows] = draw.choose(rng, lists_by_total[int(value)], len(rows))
    return answer
