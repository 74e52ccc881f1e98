"""A folder that a person names for an output is written whole or not at all, and never over files
that the command did not write: for every command with such a folder (`simulate` has its own test).
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from budget_cases import opened

from pipeline.catalog import Home
from pipeline.cli.parser import main

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "released" / "data" / "small-release.tar.xz"
MODEL = "state/released/extracts/small-release/model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / MODEL


@pytest.fixture
def thesis(tmp_path: Path) -> Path:
    """A folder with a person's own work."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter-1.txt").write_text("eight months of work", encoding="utf-8")
    return folder


def draw(model: Path, out: Path, rows: int = 5) -> list[str]:
    options = ["--rows", str(rows), "--seed", "1", "--extract-date", "2022-12-31"]
    return ["draw", "--model", str(model), *options, "--out", str(out)]


def commands(model: Path, out: Path) -> dict[str, list[str]]:
    adult = ["--dataset", str(ROOT / "datasets" / "adult.yaml"), "--source", str(out.parent)]
    return {
        "draw": draw(model, out),
        "fit": ["fit", *adult, "--epsilon", "1", "--model", str(out)],
        "budget-report": ["budget-report", "--out", str(out)],
    }


@pytest.mark.parametrize("command", ["draw", "fit", "budget-report"])
def test_a_folder_with_a_persons_files_is_refused_and_left_alone(
    command: str, model: Path, thesis: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(home.ledger_file, people=3.0)  # without a ledger there is nothing to report on
    assert main(commands(model, thesis)[command]) == 2
    message = capsys.readouterr().err
    assert "thesis holds chapter-1.txt, which this command did not write" in message
    assert "Nothing was changed" in message
    assert [path.read_text("utf-8") for path in thesis.iterdir()] == ["eight months of work"]
    assert [path.name for path in thesis.parent.iterdir() if path.name.startswith(".")] == []


def test_a_draw_replaces_a_draw_and_nothing_that_was_edited_since(
    model: Path, tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    assert main(draw(model, out, rows=5)) == 0
    assert main(draw(model, out, rows=3)) == 0  # as it was written: it gives way
    table = next(path for path in sorted(out.glob("*patient*.csv")))
    assert len(table.read_text("utf-8").splitlines()) == 1 + 3
    with table.open("a", encoding="utf-8") as file:
        file.write("a line of mine\n")
    capsys.readouterr()
    assert main(draw(model, out, rows=4)) == 2
    assert table.name in capsys.readouterr().err
    assert table.read_text("utf-8").endswith("a line of mine\n")


@pytest.mark.long
def test_several_sets_stand_below_one_folder(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets"
    assert main([*draw(model, out), "--sets", "2"]) == 0
    first, second = (sorted(path.name for path in (out / f"set-{n}").iterdir()) for n in (1, 2))
    assert first == second and "sim_av_patient.csv" in first
    assert (out / "set-1" / "sim_av_patient.csv").read_bytes() != (
        out / "set-2" / "sim_av_patient.csv"
    ).read_bytes()
    one_file = ["--rows", "5", "--sets", "2", "--out", str(tmp_path / "sets.csv")]
    assert main(["draw", "--model", str(model), *one_file]) == 2
