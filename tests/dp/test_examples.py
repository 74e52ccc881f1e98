"""The examples in docstrings run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "pipeline.dp.noise",
        "pipeline.dp.events",
        "pipeline.dp.accounting",
        "pipeline.dp.renyi",
        "pipeline.dp.audit",
        "pipeline.dp.marginals",
        "pipeline.dp.sgd",
        "pipeline.dp.tape",
        "pipeline.ledger.ledger",
        "pipeline.population_limits",
    ],
)
def test_docstring_examples(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
