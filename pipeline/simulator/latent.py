"""Everything that will ever happen to the latent patients, drawn once from the seed. An extract
date only decides what is already visible.
"""

from collections.abc import Callable

import numpy as np

from pipeline.simulator import draw
from pipeline.simulator.clinical import clinical
from pipeline.simulator.draw import Ints, Texts
from pipeline.simulator.genes import gene_tests
from pipeline.simulator.later import all_courses_and_episodes
from pipeline.simulator.parameters import load
from pipeline.simulator.pathology import gleason, grades, pathology
from pipeline.simulator.people import people_and_tumours
from pipeline.simulator.survival import survival
from pipeline.simulator.treatments import plan_treatments
from pipeline.simulator.values import (
    Latent,
    Pathology,
    Survival,
    Tumours,
)

Progress = Callable[[str], None]


def draw_lifetimes(n_patients: int, seed: int, progress: Progress) -> Latent:
    """Deterministic in (n_patients, seed); nothing here knows the extract date."""
    people, tumours = people_and_tumours(n_patients, seed)
    progress("simulate: patients and tumours drawn")
    path = pathology(people, tumours, seed)
    clinic = clinical(people, tumours, path, seed)
    grade = grades(tumours, path.triple_negative, seed)
    plan = plan_treatments(people, tumours, path, clinic, seed)
    progress("simulate: primary treatments planned")
    alive = survival(people, tumours, path, clinic, grade, plan, seed)
    courses, episodes = all_courses_and_episodes(people, tumours, path, plan, alive, seed)
    progress("simulate: survival and later treatments drawn")
    return Latent(
        people=people,
        tumours=tumours,
        pathology=path,
        clinical=clinic,
        grade=grade,
        gleason=gleason(tumours, clinic.stage_column, seed),
        plan=plan,
        survival=alive,
        courses=courses,
        episodes=episodes,
        genes=gene_tests(tumours, path, clinic, seed),
        causes=_causes(tumours, path, alive, seed),
        death_location=draw.choose(
            draw.stream(seed, "place of death"), load()["death_location"], len(alive.death)
        ),
    )


def _causes(tumours: Tumours, path: Pathology, alive: Survival, seed: int) -> Texts:
    """Underlying cause: the tumour's own code in most deaths, the more so the sooner; otherwise a
    common cause.
    """
    rng, raw = draw.stream(seed, "cause of death"), load()["cause_of_death"]
    m = len(alive.death)
    first_day: Ints = tumours.day[:m]
    years = (alive.death - first_day) / 365.25
    band = np.digitize(years, [1, 3])
    answer = draw.choose(rng, raw["other"], m)
    for index, share in enumerate(raw["cancer"]):
        rows = np.flatnonzero(band == index)
        cancer = rows[
            rng.random(len(rows)) < draw.recentred(4.0 * (alive.of_cancer[rows] >= 0), share)
        ]
        answer[cancer] = path.code4[
            np.where(alive.of_cancer[cancer] >= 0, alive.of_cancer[cancer], cancer)
        ]
    answer[rng.random(m) >= raw["underlying_recorded"]] = None
    return answer
