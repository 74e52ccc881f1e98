"""Whole numbers at every sigma that plans of this project's declarations have, and every epsilon of
a pick, at several budgets: counts and scores that are floats are refused, and no float is made of
the words that noise is drawn from, at whatever size of sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from audit import people
from audit.findings import Check, Finding
from pipeline import params
from pipeline.catalog import project_root
from pipeline.dp.errors import MechanismError
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.sgd import DpSgd
from pipeline.models.synthesizer.plan import Plan, joint_plan
from pipeline.schema.reader import read_schema

Array = np.ndarray[Any, Any]

ALARM = 1e-9  # below it a p-value of a chi-square of GROUPS is no chance
DRAWS, GROUPS = 400, 8  # at each sigma
# of one exact draw: two for its place, one for its sign, one for its size, one to keep it
LEAST_WORDS = 5
SMALL = ("uci_heart", "simulated_pathways")
ALL = (*SMALL, "uganda_malaria", "adult", "credit_default", "hr_attrition", "cancer_pathways")
FLOATS = (np.float64, np.float32, np.float16, np.longdouble, bool)


class FloatMade(Exception):
    """A float was made of a word of keystream."""


class Whole(np.ndarray):
    """Whole numbers, of which nobody makes a float: what is computed from them is Whole as well."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(one) if isinstance(one, Whole) else one for one in inputs]
        if out := options.get("out"):
            options["out"] = tuple(
                one.view(np.ndarray) if isinstance(one, Whole) else one for one in out
            )
        return whole(getattr(ufunc, method)(*plain, **options))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return whole(super().__array_function__(function, types, arguments, options))

    def astype(self, kind: Any, *rest: Any, **options: Any) -> Any:  # type: ignore[override]
        return whole(np.asarray(self).astype(kind, *rest, **options))

    def __float__(self) -> float:
        raise FloatMade

    def view(self, *arguments: Any, **options: Any) -> Any:
        return check_whole(super().view(*arguments, **options))


def check_whole(values: Any) -> Any:
    """The values; raises FloatMade for floats."""
    if isinstance(values, float | np.inexact) or (
        isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.inexact)
    ):
        raise FloatMade
    return values


def whole(values: Any) -> Any:
    """Arrays as Whole, also those in a tuple. Raises FloatMade for floats."""
    if isinstance(values, tuple):
        return tuple(whole(one) for one in values)
    check_whole(values)
    return np.asarray(values).view(Whole) if isinstance(values, np.ndarray) else values


class WholeWords(NoiseStream):
    """A stream whose words stay whole, and which has no normals; and how many were taken."""

    n_words = 0

    def bits(self, n: int) -> Array:
        self.n_words += n
        return np.array(super().bits(n)).view(Whole)

    def uniform53(self, n: int) -> Array:
        raise FloatMade

    def normal(self, shape: Any, dtype: Any = None) -> Array:
        raise FloatMade


def plans(datasets: Iterable[str], epsilons: Sequence[float]) -> list[Plan]:
    """The plans of declarations, with the project's own settings, at each epsilon."""
    defaults = params.load(project_root() / "params.yaml")
    return [
        joint_plan(
            read_schema(project_root() / "datasets" / f"{name}.yaml"),
            replace(defaults.privacy, epsilon=epsilon),
            defaults.train,
            people.EXTRACT,
        )
        for name in datasets
        for epsilon in epsilons
    ]


def counts_of(plan: Plan) -> list[NoisyCounts]:
    table = plan.table.counts(plan.table_scale).values()
    return [*table, *(plan.pathway.counts(plan.pathway_scale).values() if plan.pathway else ())]


def descents_of(plan: Plan) -> list[DpSgd]:
    critic = plan.table.critic(plan.table_scale)
    pathway = plan.pathway.sgd(plan.pathway_scale) if plan.pathway else None
    return [mechanism for mechanism in (critic, pathway) if mechanism is not None]


def whole_numbers(datasets: Sequence[str], epsilons: Sequence[float], _folder: Path) -> Finding:
    faults, sigmas, picks, p = list[str](), set[float](), set[float](), 1.0
    for plan in plans(datasets, epsilons):
        for counts in counts_of(plan):
            if counts.sigma not in sigmas:
                sigmas.add(counts.sigma)
                faults += _of_counts(counts)
        choice = plan.table.choice(plan.table_scale)
        if choice is not None and choice.epsilon not in picks:
            picks.add(choice.epsilon)
            faults += _of_choice(choice)
        for descent in descents_of(plan):
            faults += _tried(
                f"coins of {descent.sampling_probability:g}",
                partial(descent.sample, 50, WholeWords()),
            )
    if not faults:
        p = min(1.0, len(sigmas) * min(map(_fit, sigmas)))
    scope = (
        f"{len(sigmas)} sigmas from {min(sigmas):g} to {max(sigmas):g} and {len(picks)} epsilons of"
        f" picks of {len(datasets)} declarations at epsilon {', '.join(map(str, epsilons))}"
    )
    return Finding(
        holds=not faults and p > ALARM,
        figures={"sigmas": len(sigmas), "epsilons": len(picks), "p": p},
        message=(
            f"{scope}: floats are refused, none is made, and the draws fit with p = {p:.2g}"
            if not faults
            else f"{scope}: {len(faults)} are not made of whole numbers, {'; '.join(faults[:3])}"
        ),
    )


def _fit(sigma: float) -> float:
    """p-value of draws at one sigma, in GROUPS of about equal probability, by exact ones."""
    bound = int(12 * sigma) + 2
    x = np.arange(-bound, bound + 1)
    mass = np.exp(-(x.astype(float) ** 2) / (2 * sigma**2))
    group = np.minimum((mass.cumsum() / mass.sum() * GROUPS).astype(int), GROUPS - 1)
    chances = np.bincount(group, mass, GROUPS) / mass.sum()
    draws = NoiseStream().discrete_gaussian(sigma, DRAWS)
    if np.abs(draws).max() > bound:
        return 0.0
    observed_counts = np.bincount(group[draws + bound], minlength=GROUPS)[chances > 0]
    return float(stats.chisquare(observed_counts, chances[chances > 0] * DRAWS).pvalue)


def _of_counts(counts: NoisyCounts) -> list[str]:
    """What is wrong with the noise of a block at its sigma."""
    few = NoisyCounts(name=counts.name, sigma=counts.sigma, cells=DRAWS)
    what = f"counts at sigma {counts.sigma:g}"
    floats = [
        f"{what} of type {np.dtype(kind).name} are taken"
        for kind in FLOATS
        if _works(partial(few.measure, np.zeros(3, kind), NoiseStream()))
    ]
    words = WholeWords()
    faults = floats + _tried(what, partial(few.measure, np.zeros(DRAWS, np.int64), words))
    short = words.n_words < LEAST_WORDS * DRAWS
    return faults + [f"{what} took {words.n_words} words for {DRAWS} draws"] * short


def _of_choice(choice: PrivateChoice) -> list[str]:
    what = f"a pick of epsilon {choice.epsilon:g}"
    scores = np.arange(choice.candidates) % 7
    floats = [
        f"{what} takes scores of type {np.dtype(kind).name}"
        for kind in FLOATS
        if _works(partial(choice.measure, scores.astype(kind), NoiseStream()))
    ]
    return floats + _tried(what, partial(choice.measure, scores, WholeWords()))


def _works(run: Callable[[], Array]) -> bool:
    try:
        run()
    except MechanismError:
        return False
    return True


def _tried(what: str, run: Callable[[], Array]) -> list[str]:
    """What is wrong with one draw from words that stay whole."""
    try:
        result = run()
    except FloatMade:
        return [f"{what} took a float"]
    return [] if result.dtype in (np.int64, bool) else [f"{what} gave {result.dtype}"]


CHECKS: tuple[Check, ...] = tuple(
    Check(
        name=f"planned noise takes no float{suffix}",
        family="sampler",
        run=partial(whole_numbers, datasets, epsilons),
        long=long,
        asks=(
            "at every sigma and epsilon that declarations plan, counts and scores are whole numbers"
            " and so is all that noise is made of"
        ),
    )
    for suffix, datasets, epsilons, long in (
        ("", SMALL, (1.0,), False),
        (", all declarations", ALL, (0.1, 1.0, 3.0, 10.0), True),
    )
)
