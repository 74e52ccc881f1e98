"""Work in other processes is the same work."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from pipeline import workers


@pytest.mark.parametrize("n", [0, 1, workers.HERE, workers.HERE + 3])
def test_answers_come_in_the_order_of_the_tasks(n: int) -> None:
    """The last ones from other processes."""
    tasks = [MappingProxyType({"x": number}) for number in range(n)]
    assert list(workers.in_order(dict, iter(tasks), 2)) == [dict(task) for task in tasks]


def test_an_exception_of_a_task_is_the_caller_s() -> None:
    answers = workers.in_order(int, ["1"] * workers.HERE + ["2", "three"], 2)
    with pytest.raises(ValueError, match="three"):
        list(answers)
