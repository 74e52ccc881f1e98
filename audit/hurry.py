"""Fewer steps where models are fitted to noisy counts: no row is read there, so an audit loses
nothing but time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from pipeline.models.pathway.fit import calibration, cell_weights, heads
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.table.fit import engines, fit, generator, target

STEPS, DRAWS = 2, 200


@contextmanager
def few_steps() -> Iterator[None]:
    """Heads, calibration, target heads and generators take two steps each. What reads rows stays as
    it is.
    """

    def descend_briefly(
        parameters: Iterable[Tensor], loss: Callable[[], Tensor], steps: int, rate: float
    ) -> None:
        descend(parameters, loss, min(steps, STEPS), rate)

    def fit_table_briefly(*arguments: Any, steps: int, **rest: Any) -> Tensor:
        return generator.fit_table(*arguments, steps=min(steps, STEPS), **rest)

    with ExitStack() as patches:
        for module in (cell_weights, heads, calibration):
            patches.enter_context(patch.object(module, "descend", descend_briefly))
        patches.enter_context(patch.object(target, "_STEPS", STEPS))
        patches.enter_context(patch.object(fit, "_DRAWS", DRAWS))
        patches.enter_context(patch.object(engines, "fit_table", fit_table_briefly))
        yield
