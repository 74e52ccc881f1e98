"""Releases and ledgers that were made before still work.

`data/small-release.tar.xz` is the home of a small simulated release (400 patients, 50 synthetic
rows, epsilon 1) as an earlier commit published it, and in `draw/` the 20 patients that the same
code drew from its model. Whoever changes what the public rules rebuild makes it anew, and says so
in the changelog: an older model then needs the code that its card names.

`data/old-layout.tar.xz` is such a one: it was made before the code lists were the registry's own.
"""

import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pipeline.adapters.simulacrum.names import PRESCRIPTION
from pipeline.adapters.simulacrum.write import rebuild
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
RELEASE, OLDER = "small-release", "old-layout"
DRAW = ("--rows", "20", "--seed", "3", "--extract-date", "2022-12-31")


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return unpacked(RELEASE, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def older_home(tmp_path_factory) -> Path:
    return unpacked(OLDER, tmp_path_factory.mktemp("older"))


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=home,
        env=os.environ | {"SYNDASERA_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(home: Path, *arguments: str) -> str:
    """What a command says, of which nothing may be a refusal."""
    process = run(home, *arguments)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def model(home: Path, release: str) -> str:
    return str(home / "state" / "released" / "extracts" / release / "model")


def test_the_release_verifies(home):
    assert f"{RELEASE} is sound." in answer(home, "verify", RELEASE)


def test_its_model_draws_the_patients_that_it_drew_then(home, tmp_path):
    answer(home, "draw", "--model", model(home, RELEASE), *DRAW, "--out", str(tmp_path / "again"))
    then, now = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.csv")}
        for folder in (home / "draw", tmp_path / "again")
    )
    assert len(then) == 13
    assert now == then


def test_the_ledger_holds_and_shows_the_charge(home, older_home):
    for folder, release in ((home, RELEASE), (older_home, OLDER)):
        assert "entries is whole" in answer(folder, "ledger", "verify")
        (charge,) = [
            line for line in answer(folder, "ledger").splitlines() if line.split()[:1] == [release]
        ]
        assert charge.split()[1] == "released"
        assert 0.99 < float(charge.split()[2]) <= 1


def test_a_model_of_an_older_form_is_refused_and_its_release_told(older_home, tmp_path):
    out = tmp_path / "drawn"
    process = run(older_home, "draw", "--model", model(older_home, OLDER), *DRAW, "--out", str(out))
    assert process.returncode == 2 and not out.exists()
    assert "the table model's plan has format 2, this version reads" in process.stderr
    assert "the version of the code on the release's card" in process.stderr
    verdict = run(older_home, "verify", OLDER)
    assert verdict.returncode != 0
    assert "another version of the code made the release" in verdict.stdout
    assert "yes  every file has the checksum in the manifest" in verdict.stdout


def test_a_model_with_other_code_lists_is_refused():
    """Of today's form, but declared before the code lists were the registry's own."""
    schema = read_schema(ROOT / "datasets" / "simulated_pathways.yaml")
    table = schema.tables[PRESCRIPTION]
    name = "RTTREATMENTMODALITY"
    older = replace(table.columns[name], categories=("1", "2", "3"))
    others = replace(table, columns={**table.columns, name: older})
    declared = replace(schema, tables={**schema.tables, PRESCRIPTION: others})
    with pytest.raises(Refusal) as refusal:
        rebuild(declared, PatientLog(pl.DataFrame()), date(2022, 12, 31))
    assert "declared with other code lists than the registry's own of today" in str(refusal.value)
    assert "the version of the code that made it: `code_version` on its card" in str(refusal.value)
