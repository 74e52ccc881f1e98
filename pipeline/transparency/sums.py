"""What a log says was spent: sums over the charges that its lines list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.transparency.commitments import Line


def charges_of(log: Sequence[Line], population: str) -> list[Mapping[str, Any]]:
    """Every charge of a population that the log lists, in order."""
    return [
        charge
        for line in log
        if line.get("population") == population
        for charge in line.get("charges", ())
    ]


def spent_of(log: Sequence[Line], population: str) -> float:
    """Renyi divergence at the population's order, of the cohort that was charged most: a charge
    that names no cohort is one of all of them.
    """
    charges = charges_of(log, population)
    named = {name for charge in charges for name in charge["cohorts"]}
    return max(
        math.fsum(
            charge["rdp"]
            for charge in charges
            if not charge["cohorts"] or name in charge["cohorts"]
        )
        for name in (*named, None)
    )


def orders_of(log: Sequence[Line], population: str) -> set[int]:
    """The Renyi orders at which its lines state it: one, in a sound log."""
    return {
        line["order"] for line in log if line.get("population") == population and "order" in line
    }
