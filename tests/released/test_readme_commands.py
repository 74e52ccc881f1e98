"""The README's commands without Airflow, one by one on a small extract, and what becomes of a
release that somebody touches.
"""

import getpass
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from ruamel.yaml import YAML

from pipeline.catalog import Home
from pipeline.cli.parser import parser
from pipeline.ledger import Ledger
from pipeline.released import manifest
from pipeline.released.verify import verify
from pipeline.schema.reader import read_schema
from pipeline.services import tracking
from pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^python -m pipeline (.*?)(?:\s+#.*)?$", re.MULTILINE)
SMALL = {
    "table": {"codes": 100, "steps": 30},
    "pathway": {"steps": 5, "expected_batch_size": 60, "calibration_patients": 300},
}


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in COMMAND.findall(block)]


@pytest.mark.parametrize(
    ("page", "command"),
    [
        (page.name, command)
        for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
        for command in commands(page.read_text(encoding="utf-8"))
    ],
)
def test_every_command_in_the_docs_is_understood(page, command):
    parser().parse_args(shlex.split(command))


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Home:
    """The section "Without Airflow" of the README, as it stands there but with 250 patients and
    short training.
    """
    home = Home(tmp_path_factory.mktemp("home"))
    settings = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    settings["release"]["rows"], settings["train"] = 120, settings["train"] | SMALL
    YAML().dump(settings, home.root / "params.yaml")
    section = README[README.index("## Without Airflow") :]
    for command in commands(section[: section.index("## ", 5)]):
        shown = run(home, *shlex.split(command.replace("--patients 1000", "--patients 250")))
    (home.root / "console.txt").write_text(shown)  # of the last command, refresh
    return home


def run(home: Home, *arguments: str, cwd: Path | None = None) -> str:
    environment = os.environ | {
        "SYNDASERA_HOME": str(home.root),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=cwd or home.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(arguments)}: {done.stdout[-1500:]} {done.stderr[-1500:]}"
    )
    return done.stdout


def test_the_console_names_every_stage_and_gives_no_hint_to_people_who_commit_by_hand(walked):
    shown = (walked.root / "console.txt").read_text()
    for number, name in enumerate(STAGES, start=1):
        assert f"Stage {number} of {len(STAGES)}, {name}: " in shown
    for hint in ("dvc push", "git add", "auto staging", "Running stage", "lock file"):
        assert hint not in shown


def test_mlflow_shows_the_release_with_its_report(walked):
    client = tracking.client_of(walked)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    [run] = client.search_runs([experiment.experiment_id], "tags.kind = 'release'")
    figures = json.loads((walked.runs / "test1/restricted/report/figures.json").read_text())
    metrics, tags = run.data.metrics, run.data.tags
    own = {name: value for name, value in metrics.items() if name.startswith("report/")}
    assert own == pytest.approx(figures["metrics"]) and "report/attacks/above_control" in own
    assert (metrics["gate/passed"], metrics["gate/failures"], tags["gate"]) == (1, 0, "passed")
    assert (run.info.run_name, tags["asked_by"]) == ("test1", getpass.getuser())
    notes = tracking.read_notes(walked.workspace("test1"))
    assert (run.info.start_time, run.info.end_time) == (notes[0].started_ms, notes[-1].end_ms)
    page = f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}/artifacts"
    for name in ("report/index.html", "card.md"):
        assert f"{page}/{name}" in tags["mlflow.note.content"]
    artifacts = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"card.md", "model", "report"}


def test_mlflow_loads_the_released_model_and_draws_what_the_command_draws(walked, tmp_path):
    import mlflow

    options = ["--rows", "20", "--seed", "3", "--extract-date", "2022-12-31"]
    model = walked.published / "test1" / "model"
    run(walked, "draw", "--model", str(model), *options, "--out", str(tmp_path / "synth"))
    mlflow.set_tracking_uri(f"sqlite:///{walked.mlflow_database}")
    loaded = mlflow.pyfunc.load_model("models:/simulated_pathways@released")
    tables = loaded.predict({"rows": [20]}, params={"seed": 3})
    assert sorted(tables) == sorted(read_schema(ROOT / "datasets/simulated_pathways.yaml").tables)
    for name, rows in tables.items():
        drawn = pl.read_csv(tmp_path / "synth" / f"{name}.csv", infer_schema=False)
        assert len(drawn) == len(rows)
    first = pl.read_csv(tmp_path / "synth" / "sim_av_patient.csv", infer_schema=False)
    assert first["GENDER"].to_list() == tables["sim_av_patient"]["GENDER"].to_list()
    women = loaded.predict({"rows": [20]}, params={"where": ["GENDER=2"]})["sim_av_patient"]
    assert set(women["GENDER"]) == {"2"} and len(women) == 20
    assert not (model / "MLmodel").exists()


def test_the_walk_publishes_a_sound_release(walked):
    assert {check.question: check.fault for check in verify(walked, "test1") if check.fault} == {}
    ledger = Ledger(walked.ledger)
    assert ledger.state("test1") == "released"
    assert ledger.balance("simulated_pathways").n_releases == 1


def test_dvc_repro_in_the_finished_workspace_charges_nothing_again(walked):
    environment = os.environ | {
        "SYNDASERA_HOME": str(walked.root),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["dvc", "repro", "--no-run-cache"],
        cwd=walked.runs / "test1",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert Ledger(walked.ledger).balance("simulated_pathways").n_releases == 1
    assert all(check.passed for check in verify(walked, "test1"))


def test_the_extract_holds_what_the_readme_promises(walked):
    folder, declared = (
        walked.published / "test1",
        read_schema(ROOT / "datasets" / "simulated_pathways.yaml"),
    )
    for table in declared.tables.values():
        header = (folder / "extract" / "csv" / f"{table.file}.csv").read_text().splitlines()[0]
        assert header.split(",") == [
            column.header or name for name, column in table.columns.items()
        ]
        carried = [name for name, column in table.columns.items() if column.role == "carried"]
        frame = pl.read_parquet(folder / "extract" / "parquet" / f"{table.file}.parquet")
        assert all(frame[name].null_count() == len(frame) for name in carried), (
            "carried columns leave empty"
        )
    assert pl.read_parquet(folder / "extract" / "parquet" / "sim_av_patient.parquet").height == 120
    with duckdb.connect(str(folder / "extract" / "extract.duckdb"), read_only=True) as database:
        n_patients, survival = (
            database.execute(f"SELECT count(DISTINCT PATIENTID) FROM {view}").fetchone()[0]
            for view in ("v_pathway", "v_survival")
        )
        flags = database.execute(
            "SELECT count(*) FROM v_treatment_flags WHERE surgery OR sact OR radiotherapy"
        ).fetchone()[0]
    assert n_patients == survival == 120
    assert flags > 0
    named = README[README.index("## What you get") : README.index("## Without Airflow")]
    for line in re.findall(r"^\| (`.*?) \|", named, re.MULTILINE):
        for name in re.findall(r"`(.*?)`", line):
            assert (folder / name).exists(), name
    for name in ("all_z_lookup_tables.xlsx", "data_dictionary.xlsx", "v1_views.sql"):
        assert (folder / "Documents" / name).is_file()
    assert (folder / "lookups" / "gender.csv").read_text().startswith("Code,Description")
    assert "sim_av_patient,ETHNICITY" in (folder / "dictionary.csv").read_text()


def test_the_card_says_what_the_ledger_says_and_what_it_is_not_for(walked):
    folder = walked.published / "test1"
    card, text = json.loads((folder / "card.json").read_text()), (folder / "card.md").read_text()
    held = Ledger(walked.ledger).reservation("test1")
    assert (card["privacy"]["epsilon"], card["privacy"]["chain_head"]) == (
        held.epsilon,
        held.entry_hash,
    )
    assert held.epsilon <= 1.0
    assert all(
        words in text
        for words in (
            "Not for clinical use",
            "The run approved itself",
            "No row is a real patient",
            "the source is simulated",
        )
    )


def test_the_lineage_names_no_restricted_path_hash_or_size(walked):
    lineage = (walked.published / "test1" / "manifest.json").read_text()
    assert "restricted" not in lineage and str(walked.root) not in lineage
    assert set(json.loads(lineage)) == {
        "release_id",
        "dataset",
        "data_id",
        "source_label",
        "drawn_from",
        "code_version",
        "charge",
        "log_entry",
        "chain_head",
        "self_approved",
        "seed",
        "partition_rows",
        "plan",
        "files",
    }


def test_a_draw_from_the_published_model_is_free_and_prompts_hold(walked, tmp_path):
    model = walked.published / "test1" / "model"
    run(
        walked,
        "draw",
        "--model",
        str(model),
        "--rows",
        "40",
        "--out",
        str(tmp_path / "out"),
        "--where",
        "GENDER=2",
        "--where",
        "AGE=30..50",
    )
    tumours = next((tmp_path / "out").rglob("sim_av_tumour.csv"))
    frame = pl.read_csv(tumours, infer_schema=False).filter(
        pl.col("DIAGNOSISDATEBEST").is_not_null()
    )
    assert set(frame["GENDER"]) == {"2"}
    first = frame.sort("DIAGNOSISDATEBEST").group_by("PATIENTID", maintain_order=True).first()
    assert first.height == 40 and first["AGE"].cast(pl.Int64).is_between(30, 50).all()
    assert Ledger(walked.ledger).balance("simulated_pathways").n_releases == 1


@pytest.mark.parametrize(
    ("touch", "question"),
    [
        (
            lambda folder: (folder / "card.md").write_text("epsilon 0"),
            "every file has the checksum",
        ),
        (
            lambda folder: (folder / "extract" / "csv" / "sim_av_patient.csv").unlink(),
            "every file has the checksum",
        ),
        (lambda folder: (folder / "more.txt").write_text("x"), "every file has the checksum"),
        (
            lambda folder: manifest.write(folder, {**manifest.read(folder), "seed": 2}),
            "the tag in the released version store",
        ),
        (
            lambda folder: _edit(folder / "card.json", "privacy", "epsilon", 0.1),
            "the ledger's chain holds",
        ),
    ],
)
def test_a_touched_release_is_found(walked, tmp_path, touch, question):
    home = Home(tmp_path / "home")
    shutil.copytree(walked.root, home.root, ignore=shutil.ignore_patterns("runs", "mlruns"))
    touch(home.published / "test1")
    faulty = [check.question for check in verify(home, "test1") if not check.passed]
    assert any(one.startswith(question) for one in faulty), faulty


def _edit(path: Path, block: str, key: str, value: object) -> None:
    content = json.loads(path.read_text())
    content[block][key] = value
    path.write_text(json.dumps(content))
