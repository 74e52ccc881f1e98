"""`python -m pipeline estimate` answers from noisy counts, or says why it cannot."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.parser import main
from pipeline.models import noisy_tables
from pipeline.models.noisy_tables import Axis, Cell, NoisyTable

ARCHIVE = Path(__file__).parent / "data" / "small-release.tar.xz"
MODEL = "state/released/extracts/small-release/model"
SEX = Axis("GENDER", (Cell(("1",)), Cell(("2",)), Cell((None,))))
STAGE = Axis("STAGE_GROUP", (Cell((None,)), Cell(("1",)), Cell(("4",))))
SPANS = Axis(
    "survival", tuple(Cell(low=a, high=b) for a, b in ((0, 365), (366, 1826), (1827, 9999)))
)
ENDS = Axis("end", (Cell(("none",)), Cell(("DEATH",)), Cell(("CENSOR",))))
AGES = Axis("AGE", (Cell(low=0.0, high=49.0), Cell(low=50.0, high=105.0)))


@pytest.fixture(scope="module")
def old_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of before noisy counts were published."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / MODEL


@pytest.fixture(scope="module")
def model(old_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with counts beside it."""
    folder = tmp_path_factory.mktemp("counted") / "model"
    shutil.copytree(old_model, folder)
    lives = np.zeros((3, 3, 3))
    lives[1] = [[0, 50, 100], [0, 100, 300], [0, 50, 400]]
    lives[2] = [[0, 400, 100], [0, 300, 100], [0, 50, 50]]
    noisy_tables.save(
        folder / "table",
        [
            NoisyTable("one/GENDER", (SEX,), np.array([900.0, 1100.0, 0.0]), 10.0),
            NoisyTable("tree/AGE/1", (AGES,), np.array([500.0, 1500.0]), 10.0),
        ],
    )
    noisy_tables.save(
        folder / "pathway",
        [NoisyTable("pathway/STAGE_GROUP/survival/end", (STAGE, SPANS, ENDS), lives, 2.0)],
    )
    return folder


def answer(model: Path, capsys: pytest.CaptureFixture[str], *question: str) -> dict[str, object]:
    assert main(["estimate", str(model), *question, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize(
    ("question", "estimate"),
    [
        (("--share", "GENDER=2"), 0.55),
        (("--share", "AGE=50..105"), 0.75),
        (("--mean", "AGE"), (24.5 * 500 + 77.5 * 1500) / 2000),
        (("--survival", "STAGE_GROUP=1"), 1 - 50 / (1000 - 50)),
    ],
)
def test_a_figure_is_what_the_counts_say(
    model: Path,
    capsys: pytest.CaptureFixture[str],
    question: tuple[str, ...],
    estimate: float,
) -> None:
    told = answer(model, capsys, *question)
    assert told["estimate"] == pytest.approx(estimate, rel=0.01)
    (low, high), (lowest, highest) = told["source"], told["population"]
    assert lowest < low < told["estimate"] < high < highest


def test_a_hazard_ratio_needs_two_groups(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratio = ("--hazard-ratio", "STAGE_GROUP=4")
    told = answer(model, capsys, *ratio, "--against", "STAGE_GROUP=1")
    assert told["estimate"] > 4
    assert main(["estimate", str(model), *ratio]) == 2
    assert "--against" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (("--share", "GENDER=9"), "has no value '9'"),
        (("--share", "SEX=2"), "no such column or fact"),
        (("--share", "GENDER=2", "STAGE_GROUP=1"), "GENDER with STAGE_GROUP"),
        (("--mean", "GENDER"), "no number"),
        (("--survival", "--day", "400"), "366, 1827"),
        (("--survival", "GENDER=1"), "survival by GENDER"),
    ],
)
def test_what_was_not_counted_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], question: tuple[str, ...], reason: str
) -> None:
    assert main(["estimate", str(model), *question]) == 2
    assert reason in capsys.readouterr().err


def test_a_model_of_before_says_so(old_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(old_model), "--share", "GENDER=2"]) == 2
    assert "before noisy counts were published" in capsys.readouterr().err
    assert main(["estimate", "nothing-here"]) == 2
    assert "no published release" in capsys.readouterr().err


def test_without_a_question_it_lists_what_was_counted(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", str(model)]) == 0
    listing = capsys.readouterr().out
    assert "GENDER" in listing and "STAGE_GROUP x survival x end" in listing
