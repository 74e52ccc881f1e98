"""What static rows are drawn from, whichever engine made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import polars as pl


class RowSource(Protocol):
    """A fitted engine. Every row that it draws keeps the declaration's implications, orders and
    copies, and the conditions it is asked for.
    """

    @property
    def engine(self) -> str:
        """By the name in the settings (plan/engines.py)."""

    def sample(
        self, n: int, rng: np.random.Generator, where: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """n rows, columns in declared order. where: {column: list of values (None = missing), or
        (low, high) with both ends}. Raises Refusal for conditions that cannot be met.
        """
