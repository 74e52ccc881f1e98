"""Work in several processes at once: as many as there are cores, where there is enough of it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing.reduction import ForkingPickler
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
PROCESSES: int | None = None  # how many at most; None: as many as there are cores
HERE = 4  # tasks that this process does alone, first: others take seconds to start


def in_order(
    function: Callable[[T], R], tasks: Iterable[T], processes: int | None = None
) -> Iterator[R]:
    """function(task) of each task, in order, the same as one after the other.

    The first few are done here; where more follow, other processes do these, two of each at most at
    a time: that bounds memory. Function, tasks and answers must be picklable. The processes are
    fresh ones (no fork: polars and torch hold threads), inherit umask and limits, and end with this
    one, however it ends.
    """
    todo = iter(tasks)
    n = processes or PROCESSES or os.cpu_count() or 1
    for task in islice(todo, HERE) if n > 1 else todo:
        yield function(task)
    following = list(islice(todo, 1))
    if not following:
        return
    _pickle_declarations()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n, mp_context=context, initializer=_begin) as pool:
        answers: deque[Future[R]] = deque(pool.submit(function, task) for task in following)
        try:
            for task in todo:
                answers.append(pool.submit(function, task))
                if len(answers) >= 2 * n:
                    yield answers.popleft().result()
            while answers:
                yield answers.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pickle_declarations() -> None:
    """Declarations hold mappings that cannot be changed, which pickle does not know."""
    ForkingPickler.register(MappingProxyType, lambda mapping: (_unchangeable, (dict(mapping),)))


def _unchangeable(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _begin() -> None:
    """Begins a process. Whose parent is killed must not wait for work for ever."""
    _pickle_declarations()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
