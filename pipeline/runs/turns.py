"""One run per population: whose turn it is. A run keeps it until it ended, also while it waits for
a person; runs of other populations go on beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from pipeline.catalog import Home
from pipeline.runs import registers


def take(home: Home, population: str, run: str, is_over: Callable[[str], bool]) -> bool:
    """Whether it is the run's turn from now on. `is_over` says of the run that had it whether it
    ended: nothing is given back, so that a run that was broken off holds nobody up.
    """
    holder = _holder(home, population)
    if holder not in (None, run) and not is_over(str(holder)):
        return False
    row = registers.TURN.c.population == population
    with registers.transaction(home) as connection:
        now = connection.scalar(sa.select(registers.TURN.c.run).where(row))
        if now != holder:  # another one was faster
            return False
        connection.execute(sa.delete(registers.TURN).where(row))
        connection.execute(sa.insert(registers.TURN), {"population": population, "run": run})
    return True


def _holder(home: Home, population: str) -> str | None:
    with registers.transaction(home) as connection:
        of_population = registers.TURN.c.population == population
        return connection.scalar(sa.select(registers.TURN.c.run).where(of_population))
