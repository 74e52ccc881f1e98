"""A large simulated registry that the anchor tests share: drawn once, in memory."""

from functools import cache

import polars as pl

from pipeline.simulator import DEFAULT_EXTRACT
from pipeline.simulator.latent import draw_lifetimes
from pipeline.simulator.simulate import registry_tables
from pipeline.simulator.values import Latent
from pipeline.simulator.view import view

N, SEED = 20_000, 11
Tables = dict[str, pl.DataFrame]


@cache
def lifetimes() -> Latent:
    return draw_lifetimes(N, SEED, lambda _: None)


@cache
def registry() -> Tables:
    return registry_tables(view(lifetimes(), DEFAULT_EXTRACT), SEED)


def share(values: pl.Series) -> float:
    """In per cent."""
    return 100 * float(values.mean())  # type: ignore[arg-type]
