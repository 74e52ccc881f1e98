"""What the registry knows of a tumour at diagnosis: stage, route, performance (simulator.md 3.2 to
3.4).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.schema.codes import tumour_sites
from pipeline.simulator import draw
from pipeline.simulator.draw import MISSING, Bools, Floats, Ints, Texts
from pipeline.simulator.parameters import Cell, cells, load, of_cell
from pipeline.simulator.values import (
    DCO,
    EMERGENCY,
    SCREENED,
    UNKNOWN,
    Clinical,
    Pathology,
    People,
    Tumours,
)

T_OF_STAGE = [
    {"1": 40, "1a": 15, "1b": 15, "1c": 15, "2": 15},
    {"2": 50, "2a": 10, "2b": 5, "3": 35},
    {"2": 10, "3": 45, "3a": 15, "3b": 10, "4": 20},
    {"2": 15, "3": 40, "4": 35, "4a": 10},
]
N_OF_STAGE = [
    {"0": 100},
    {"0": 70, "1": 30},
    {"0": 15, "1": 45, "2": 30, "2a": 5, "2b": 5},
    {"0": 22, "1": 33, "2": 32, "3": 13},
]
M_OF_STAGE = [{"0": 100}, {"0": 100}, {"0": 100}, {"1": 50, "1a": 20, "1b": 30}]


def clinical(people: People, tumours: Tumours, pathology: Pathology, seed: int) -> Clinical:
    column = _stage_columns(draw.stream(seed, "stage"), people, tumours)
    route = _routes(draw.stream(seed, "route"), people, tumours, column)
    performance = _performance(draw.stream(seed, "performance"), people, tumours, column)
    rng = draw.stream(seed, "stage text")
    stage, system, iss = _stage_text(rng, tumours, pathology, column)
    t_best, n_best, m_best = _tnm(rng, tumours, column, stage)
    lost = rng.random(len(stage)) < per_tumour(load()["stage"]["missing_of_unknown"], tumours)
    stage = np.where((system == MISSING) & lost, MISSING, stage)
    rng = draw.stream(seed, "recorded")
    return Clinical(
        stage_column=column,
        stage=stage,
        stage_system=system,
        t_best=t_best,
        n_best=n_best,
        m_best=m_best,
        route=route,
        screening=_screening(rng, people, tumours, route),
        performance=performance,
        performance_recorded=_recorded_performance(rng, tumours, performance),
        iss_hazard=iss,
    )


def per_tumour(table: Mapping[str, Any], tumours: Tumours) -> Any:
    """The entry of each tumour's cell in a table keyed by cell or group."""
    return np.array([of_cell(table, cell) for cell in cells()])[tumours.cell]


def _stage_columns(rng: np.random.Generator, people: People, tumours: Tumours) -> Ints:
    """Stage shares of each cell, later with deprivation, recentred."""
    raw, column = load()["stage"], np.full(len(tumours.cell), 4)
    deprived = (5 - people.quintile[tumours.patient]) / 4
    for index, rows in draw.by_key(tumours.cell):
        cell = cells()[index]
        if not cell.staged:
            continue
        late = raw["late_per_q1"] * deprived[rows]
        if cell.name == "Bladder":
            late = late + raw["late_women_bladder"] * (people.sex[tumours.patient[rows]] == "2")
        column[rows] = draw.choose_rows(
            rng, draw.tilted(cell.stages, np.outer(late, [0, 0, 1, 1, 0]))
        )
    return column


def _routes(rng: np.random.Generator, people: People, tumours: Tumours, column: Ints) -> Ints:
    """Routes to diagnosis: shares per cell, screening by age and early stage, emergencies by age,
    deprivation and stage 4.
    """
    parameters = load()
    effects, route = parameters["emergency_effects"], np.zeros(len(column), dtype=np.int64)
    deprived = (5 - people.quintile[tumours.patient]) / 4
    emergency = (
        effects["age_over_70"] * np.clip(tumours.age - 70, 0, None)
        + effects["q1"] * deprived
        + effects["stage4"] * (column == 3)
    )
    for index, rows in draw.by_key(tumours.cell):
        cell = cells()[index]
        log = np.zeros((len(rows), 7))
        log[:, EMERGENCY] = emergency[rows]
        low, high = parameters["screening_ages"].get(cell.name, (1, 0))
        eligible = (
            (tumours.age[rows] >= low)
            & (tumours.age[rows] <= high)
            & ~_male_breast(cell, people.sex[tumours.patient[rows]])
        )
        early = np.log(parameters["stage"]["screened_early_odds"]) * (
            (column[rows] <= 1) | cell.in_situ
        )
        log[:, SCREENED] = np.where(eligible, early, -np.inf)
        route[rows] = draw.choose_rows(
            rng, draw.tilted(np.array(of_cell(parameters["routes"], cell)), log)
        )
    certificate = (
        (route == UNKNOWN)
        & (rng.random(len(route)) < parameters["death_certificate_only"])
        & (tumours.order == 0)
    )
    return np.where(certificate, DCO, route)


def _male_breast(cell: Cell, sex: Texts) -> Any:
    return (sex == "1") & (cell.group == "Breast")


def _performance(rng: np.random.Generator, people: People, tumours: Tumours, column: Ints) -> Ints:
    raw = load()["performance"]
    effects = (
        raw["age"] * (tumours.age - 65)
        + raw["stage4"] * (column == 3)
        + raw["charlson"] * (people.charlson[tumours.patient] >= 1)
        + raw["q1"] * (people.quintile[tumours.patient] == 1)
    )
    lung = np.array([cell.group == "Lung" for cell in cells()])[tumours.cell]
    answer = np.zeros(len(column), dtype=np.int64)
    for is_lung in (False, True):
        rows = np.flatnonzero(lung == is_lung)
        high = rng.random(len(rows)) < draw.recentred(
            effects[rows], raw["high_lung" if is_lung else "high"]
        )
        low_value = (
            rng.random(len(rows)) >= raw["zero_of_low_lung" if is_lung else "zero_of_low"]
        ).astype(int)
        answer[rows] = np.where(
            high,
            2 + draw.choose_index(rng, np.array(raw["high_split"], dtype=float), len(rows)),
            low_value,
        )
    return answer


def _recorded_performance(rng: np.random.Generator, tumours: Tumours, performance: Ints) -> Texts:
    raw = load()["performance"]
    is_recorded = rng.random(len(performance)) < per_tumour(raw["recorded"], tumours)
    text = performance.astype(str).astype(object)
    text[~is_recorded] = None
    text[~is_recorded & (rng.random(len(performance)) < raw["not_recorded_code"])] = "9"
    return text


def _stage_text(
    rng: np.random.Generator, tumours: Tumours, pathology: Pathology, column: Ints
) -> tuple[Texts, Texts, Floats]:
    parameters, n = load(), len(column)
    stage = draw.choose(rng, parameters["unknown_stage"], n)
    system = np.full(n, None, dtype=object)
    iss = np.ones(n)
    for site_code, rows in draw.by_key(tumours.site.astype(str)):
        site = tumour_sites.sites()[site_code]
        may = np.isin(pathology.code4[rows], site.staged_codes4)
        if site.staging == "none":
            stage[rows] = np.where(rng.random(len(rows)) < 0.75, "U", "?")
        elif site.in_situ:
            stage[rows], system[rows] = _in_situ_stages(rng, site, len(rows)), "UICC 7"
        elif site.staging == "binet":
            stage[rows] = np.where(
                may,
                np.array(["A", "B", "C"], dtype=object)[
                    draw.choose_index(rng, np.array(parameters["binet"], dtype=float), len(rows))
                ],
                "U",
            )
            system[rows[may]] = "Binet"
        elif site.staging == "iss":
            value = (
                draw.choose_index(
                    rng, np.array(parameters["iss"]["shares"], dtype=float), len(rows)
                )
                + 1
            )
            is_recorded = may & (rng.random(len(rows)) < parameters["iss"]["known"])
            stage[rows[is_recorded]], system[rows[is_recorded]] = (
                value[is_recorded].astype(str),
                "ISS",
            )
            iss[rows] = np.array([parameters["iss_hazard"][str(v)] for v in (1, 2, 3)])[value - 1]
        else:
            known_rows = rows[column[rows] < 4]
            stage[known_rows] = _substages(rng, site, column[known_rows])
            system[known_rows] = np.array(site.stage_systems, dtype=object)[
                rng.integers(0, len(site.stage_systems), len(known_rows))
            ]
    return stage, system, iss


def _in_situ_stages(rng: np.random.Generator, site: tumour_sites.Site, n: int) -> Texts:
    special = {
        stage: shares[site.code]
        for stage, shares in load()["in_situ_stages"].items()
        if site.code in shares
    }
    return draw.choose(rng, {"0": 1 - sum(special.values()), **special}, n)


def _substages(rng: np.random.Generator, site: tumour_sites.Site, column: Ints) -> Texts:
    parameters = load()
    text = (column + 1).astype(str).astype(object)
    if site.group == "Head and neck":
        text[column == 3] = draw.choose(
            rng, parameters["head_neck_stage4"], int((column == 3).sum())
        )
    lettered = rng.random(len(column)) < parameters["stage"]["substage"]
    for value in range(4):
        if value == 3 and site.group not in parameters["substage4_groups"]:
            continue
        rows = np.flatnonzero((column == value) & lettered)
        letters = {
            k: w
            for k, w in parameters["substages"][str(value + 1)].items()
            if f"{value + 1}{k}" in site.stages
        }
        text[rows] = str(value + 1) + draw.choose(rng, letters, len(rows))
    return text


def _tnm(
    rng: np.random.Generator, tumours: Tumours, column: Ints, stage: Texts
) -> tuple[Texts, Texts, Texts]:
    """T, N and M of the stage, in most staged tumours of TNM sites; head and neck 4A and 4B are
    M0. Of tumours in situ and of many without a stage the registry knows T alone.
    """
    raw, n = load()["stage"], len(column)
    values = [np.full(n, None, dtype=object) for _ in range(3)]
    site_tnm = {
        code: site.staging == "tnm" and not site.in_situ
        for code, site in tumour_sites.sites().items()
    }
    tnm = np.array([site_tnm[code] for code in tumours.site])
    recorded = tnm & (rng.random(n) < raw["tnm_recorded"])
    for value in range(4):
        for array, table, part in zip(
            values,
            (T_OF_STAGE, N_OF_STAGE, M_OF_STAGE),
            (1, raw["n_recorded"], raw["m_recorded"]),
            strict=True,
        ):
            rows = np.flatnonzero(recorded & (column == value) & (rng.random(n) < part))
            array[rows] = draw.choose(rng, table[value], len(rows))
    t_alone = rng.random(n) < per_tumour(raw["t_of_unstaged"], tumours)
    rows = np.flatnonzero(tnm & (column == 4) & t_alone)
    values[0][rows] = draw.choose(rng, raw["t_values_of_unstaged"], len(rows))
    for index, rows in draw.by_key(tumours.cell):
        shares = load()["t_without_stage"].get(cells()[index].name)
        if shares is not None:
            nothing = {MISSING: 100 - sum(shares.values())}
            values[0][rows] = draw.choose(rng, {**shares, **nothing}, len(rows))
    head_neck = np.array([cells()[i].group == "Head and neck" for i in range(len(cells()))])[
        tumours.cell
    ]
    values[2][recorded & head_neck & np.isin(stage, ["4A", "4B"])] = "0"
    return values[0], values[1], values[2]


def _screening(rng: np.random.Generator, people: People, tumours: Tumours, route: Ints) -> Texts:
    parameters, answer = load(), np.full(len(route), None, dtype=object)
    family = np.array([tumour_sites.sites()[code].screening for code in tumours.site], dtype=object)
    woman = people.sex[tumours.patient] == "2"
    some: Bools = rng.random(len(route)) < parameters["screening_history_recorded"]
    for digit, weights in parameters["hist_screening_codes"].items():
        rows = np.flatnonzero((family == digit) & (woman | (digit == "7")) & some)
        answer[rows] = draw.choose(rng, weights, len(rows))
        answer[(family == digit) & (route == SCREENED)] = f"{digit}001"
    plain = rng.random(len(route)) < parameters["screening_yes_or_no"]["share"]
    rows = np.flatnonzero((answer == MISSING) & plain)
    answer[rows] = draw.choose(rng, parameters["screening_yes_or_no"]["codes"], len(rows))
    return answer
