"""A release and a ledger that were made before the code moved into today's folders still work.

`data/old-layout.tar.xz` is the home of a small simulated release (400 patients, 50 synthetic rows,
epsilon 1) as the code published it then, and in `draw/` the 20 patients that the same code drew
from its model.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHIVE = Path(__file__).parent / "data" / "old-layout.tar.xz"
RELEASE = "old-layout"
DRAW = ("--rows", "20", "--seed", "3", "--extract-date", "2022-12-31")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def answer(home: Path, *arguments: str) -> str:
    """What a command says, of which nothing may be a refusal."""
    process = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=home,
        env=os.environ | {"SYNDASERA_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def gene_rows(table: str) -> list[str]:
    """Its rows without the first field, the key, which counts a patient's rows."""
    return sorted(row.partition(",")[2] for row in table.splitlines())


def test_the_release_verifies(home):
    assert f"{RELEASE} is sound." in answer(home, "verify", RELEASE)


def test_its_model_draws_the_patients_that_it_drew_then(home, tmp_path):
    """But for the order of one patient's gene tests of one day: by code, as in every extract."""
    model = home / "state" / "released" / "extracts" / RELEASE / "model"
    answer(home, "draw", "--model", str(model), *DRAW, "--out", str(tmp_path / "again"))
    then, now = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.csv")}
        for folder in (home / "draw", tmp_path / "again")
    )
    assert len(then) == 13
    genes = "sim_av_gene.csv"
    assert gene_rows(now.pop(genes)) == gene_rows(then.pop(genes))
    assert now == then


def test_the_ledger_holds_and_shows_the_charge(home):
    assert "chain of 4 entries is whole" in answer(home, "ledger", "verify")
    table = answer(home, "ledger")
    assert "54 more like the last fit" in table
    (charge,) = [line for line in table.splitlines() if line.split()[:1] == [RELEASE]]
    assert charge.split()[1:4] == ["released", "0.998", "0.1116"]
