"""What static rows are drawn from, whichever engine made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import polars as pl

from pipeline.draw_plan import Condition


class RowSource(Protocol):
    """A fitted engine. Every row that it draws keeps the declaration's implications, orders and
    copies, and the conditions it is asked for.
    """

    @property
    def engine(self) -> str:
        """By the name in the settings (plan/engines.py)."""

    def sample(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Condition] | None = None
    ) -> pl.DataFrame:
        """n rows, columns in declared order. where: conditions by column, as a plan has
        them. Raises Refusal for conditions that cannot be met.
        """
