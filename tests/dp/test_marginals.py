"""Noisy counts: sensitivity on neighbours, integers until noise, each measured once."""

import multiprocessing
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dp.events import DiscreteGaussianDpEvent, canonical_string
from pipeline.dp.marginals import (
    MeasurementStore,
    NoisyCounts,
    one_way_counts,
    pair_counts,
    tree_counts,
)
from pipeline.dp.noise import NoiseStream

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 26)), max_size=30)


def counts_of(rows: list[tuple[int, int, int]]) -> list[np.ndarray]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return [
        one_way_counts(table[:, 0], 5),
        pair_counts(table[:, 0], table[:, 1], 5, 3),
        *tree_counts(table[:, 2], 3, 3),
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS,
    her=st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 26)),
    at=st.integers(0, 30),
)
def test_one_patient_adds_1_to_one_cell_of_every_block(
    rows: list[tuple[int, int, int]], her: tuple[int, int, int], at: int
) -> None:
    for with_her, without in zip(
        counts_of([*rows[:at], her, *rows[at:]]), counts_of(rows), strict=True
    ):
        moved = with_her - without
        assert sorted(moved.ravel().tolist())[-1] == moved.sum() == np.abs(moved).sum() == 1
        assert with_her.shape == without.shape
        assert with_her.dtype == np.int64


def test_counts() -> None:
    assert one_way_counts(np.array([0, 2, 2]), 4).tolist() == [1, 0, 2, 0]
    assert pair_counts(np.array([0, 1, 1]), np.array([2, 0, 0]), 2, 3).tolist() == [
        [0, 0, 1],
        [2, 0, 0],
    ]
    levels = tree_counts(np.array([0, 5, 15, 15]), 4, 2)
    assert [level.tolist() for level in levels] == [
        [1, 1, 0, 2],
        [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    ]
    assert one_way_counts(np.zeros(0, dtype=np.int8), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "codes", [np.array([0, 5]), np.array([-1, 0]), np.array([0.0, 1.0]), np.array([[0, 1]])]
)
def test_codes_outside_the_declared_domain_are_refused_without_naming_them(
    codes: np.ndarray,
) -> None:
    with pytest.raises(ValueError, match=r"codes? ") as refusal:
        one_way_counts(codes, 5)
    assert "-1" not in str(refusal.value)


def test_the_mechanism_adds_the_accounted_noise() -> None:
    mechanism = NoisyCounts(name="age", sigma=3.001, cells=200_000)
    assert mechanism.dp_event == DiscreteGaussianDpEvent(3.015625)  # up to the grid, for both
    noisy = mechanism.measure(np.full(200_000, 7), NoiseStream())
    assert noisy.dtype == np.int64
    assert noisy.mean() == pytest.approx(7, abs=0.05)
    assert noisy.std() == pytest.approx(3.0156, rel=0.01)


@pytest.mark.parametrize(
    ("counts", "message"),
    [(np.array([1.0, 2.0]), "integers until noise"), (np.zeros(4, dtype=int), "3 were declared")],
)
def test_unfit_counts_are_refused(counts: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoisyCounts(name="age", sigma=1.0, cells=3).measure(counts, NoiseStream())


@pytest.mark.parametrize("fields", [{"sigma": 0.0}, {"cells": 0}, {"name": ""}])
def test_impossible_mechanisms_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs a name"):
        NoisyCounts(**({"name": "age", "sigma": 1.0, "cells": 3} | fields))  # type: ignore[arg-type]


AGE = NoisyCounts(name="age × sex / 10", sigma=50.0, cells=6)


def test_a_count_is_measured_once_and_rows_are_not_read_again(tmp_path: Path) -> None:
    counts = np.arange(6).reshape(2, 3)
    first = MeasurementStore(tmp_path).get_or_measure(AGE, lambda: counts, NoiseStream())

    def read_again() -> np.ndarray:
        raise AssertionError("rows were read a second time")

    # another process after a crash
    again = MeasurementStore(tmp_path).get_or_measure(AGE, read_again, NoiseStream())
    assert np.array_equal(first, again)
    assert first.shape == (2, 3)
    assert not list(tmp_path.glob("*.tmp"))


def test_another_mechanism_under_the_name_is_refused(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path)
    store.get_or_measure(AGE, lambda: np.zeros(6, dtype=int), NoiseStream())
    with pytest.raises(ValueError, match="already measured"):
        store.get_or_measure(
            NoisyCounts(name=AGE.name, sigma=49.0, cells=6),
            lambda: np.zeros(6, dtype=int),
            NoiseStream(),
        )


def test_the_tape_is_read_from_what_was_stored(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path)
    assert store.measured_event() == dpa.ComposedDpEvent([])
    for name, sigma in (("a", 2.0), ("b", 2.0), ("c", 3.0)):
        store.get_or_measure(
            NoisyCounts(name=name, sigma=sigma, cells=2),
            lambda: np.zeros(2, dtype=int),
            NoiseStream(),
        )
    two, three = DiscreteGaussianDpEvent(2.0), DiscreteGaussianDpEvent(3.0)
    assert canonical_string(store.measured_event()) == canonical_string(
        dpa.ComposedDpEvent([two, three, two])
    )
    assert store.names() == ["a", "b", "c"]


def test_a_crash_before_the_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.dp.marginals.os.fsync", no_disk)
        with pytest.raises(OSError, match="no space"):
            MeasurementStore(tmp_path).get_or_measure(
                AGE, lambda: np.zeros(6, dtype=int), NoiseStream()
            )
    assert MeasurementStore(tmp_path).names() == []


def _measure(folder: Path, queue: "multiprocessing.Queue[list[int]]") -> None:
    queue.put(
        MeasurementStore(folder)
        .get_or_measure(AGE, lambda: np.zeros(6, dtype=int), NoiseStream())
        .tolist()
    )


def test_processes_that_measure_at_once_end_with_one_measurement(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[list[int]] = context.Queue()
    processes = [context.Process(target=_measure, args=(tmp_path, queue)) for _ in range(6)]
    for process in processes:
        process.start()
    seen = [queue.get(timeout=900) for _ in processes]
    for process in processes:
        process.join()
    assert all(values == seen[0] for values in seen)
    assert len(list(tmp_path.iterdir())) == 1
