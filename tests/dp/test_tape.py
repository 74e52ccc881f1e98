"""The tape against the reserved event."""

from pathlib import Path

import dp_accounting as dpa
import pytest

from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape

COUNT = DiscreteGaussianDpEvent(8.0)
SGD = DpSgd(
    steps=5,
    sampling_probability=0.1,
    l2_clip_norm=1.0,
    noise_multiplier=1.2,
    expected_batch_size=10.0,
)
RESERVED = dpa.ComposedDpEvent([COUNT, COUNT, SGD.dp_event])


def run(steps: int, counts: int) -> Tape:
    tape = Tape()
    for _ in range(counts):
        tape.append(COUNT)
    for _ in range(steps):
        tape.append(SGD.step_event)
    return tape


def test_what_ran_as_reserved_matches() -> None:
    assert run(steps=5, counts=2).matches(RESERVED)
    run(steps=5, counts=2).check(RESERVED)


@pytest.mark.parametrize(
    ("steps", "counts", "told"),
    [
        (6, 2, "ran 6 times, reserved 5"),
        (4, 2, "ran 4 times, reserved 5"),
        (5, 3, "ran 3 times, reserved 2"),
        (0, 0, "ran 0 times, reserved 2"),
    ],
)
def test_a_difference_is_told(steps: int, counts: int, told: str) -> None:
    tape = run(steps, counts)
    assert not tape.matches(RESERVED)
    with pytest.raises(ValueError, match=told):
        tape.check(RESERVED)


def test_other_noise_is_a_difference() -> None:
    tape = run(steps=5, counts=1)
    tape.append(DiscreteGaussianDpEvent(7.984375))
    assert not tape.matches(RESERVED)


def test_a_resumed_run_covers_what_was_executed_before(tmp_path: Path) -> None:
    assert Tape.load(tmp_path / "tape.json").matches(dpa.ComposedDpEvent([]))
    run(steps=3, counts=2).save(tmp_path / "tape.json")
    resumed = Tape.load(tmp_path / "tape.json")
    assert not resumed.matches(RESERVED)
    resumed.append(dpa.SelfComposedDpEvent(SGD.step_event, 2))
    assert resumed.matches(RESERVED)
    resumed.save(tmp_path / "tape.json")
    assert [file.name for file in tmp_path.iterdir()] == ["tape.json"]


def test_what_cannot_be_accounted_is_not_recorded() -> None:
    with pytest.raises(ValueError, match="does not know"):
        Tape().append(dpa.LaplaceDpEvent(1.0))
