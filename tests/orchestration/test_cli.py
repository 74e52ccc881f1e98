"""The command line: quick to start, one line where it refuses, no patient's value where something
breaks.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from pipeline import files, stages
from pipeline.catalog import Workspace, project_root
from pipeline.cli import stage
from pipeline.cli.arguments.command import Later
from pipeline.cli.parser import main, parser
from pipeline.cli.services import _next_quarter
from pipeline.dp.errors import MechanismError
from pipeline.ledger import BudgetExceeded
from pipeline.plan_options import where_of
from pipeline.refusal import Refusal
from pipeline.restricted.approve import NotApproved
from pipeline.services import tracking
from pipeline.stages import STAGES, UNCHANGED


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    logger = logging.getLogger("pipeline")
    logger.handlers[:] = []
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def workspace(home, source, monkeypatch) -> Workspace:
    from pipeline.runs.workspace import Request, make

    made = make(
        home, Request(release_id="adult-1", dataset="adult", source=str(source), label="first")
    )
    monkeypatch.chdir(made.root)
    return made


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, run) -> None:
    """The stage `name`, doing something else; the mirror stays away."""
    module = f"stand_in_{name}"
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(run=run))
    monkeypatch.setattr(stage, "STAGES", {**STAGES, name: replace(STAGES[name], module=module)})
    monkeypatch.setattr(tracking, "sync", lambda *_: "nowhere")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from pipeline.cli.parser import parser;"
        " parser(with_simulator=False).format_help(); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project_root()
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "polars", "pandas", "numpy", "mlflow", "airflow", "dvc", "ruamel"}


def runners(command: argparse.ArgumentParser) -> list[object]:
    """What the command and its actions run."""
    actions = [
        choice
        for action in command._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action.choices.values()
    ]
    return [command.get_default("run"), *(one for action in actions for one in runners(action))]


def test_every_command_names_a_function_that_is_there():
    names = [runner for runner in runners(parser()) if isinstance(runner, Later)]
    assert len(names) > 25 and all(callable(name.load()) for name in names)


def test_it_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prepare", "--dataset", "nope", "--release-id", "one-1"], "there is no dataset 'nope'"),
        (["check-source", "--dataset", "nope"], "there is no dataset 'nope'"),
        (
            ["prepare-draw", "--model-of", "one-1", "--release-id", "two-2"],
            "there is no release one-1 in the released version store",
        ),
        (["ingest"], "this folder is no workspace of a run"),
        (["record", "ingest"], "this folder is no workspace of a run"),
        (["track"], "this folder is no workspace of a run"),
        (
            ["sources", "set", "adult", "--path", "/nowhere/at-all", "--label", "x"],
            "there is nothing at /nowhere/at-all",
        ),
        (["verify", "one-1"], "one-1"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_2(
    home, tmp_path, monkeypatch, capsys, arguments, says
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    output = capsys.readouterr().err
    assert says in output and len(output.splitlines()) == 1


def test_an_option_of_the_wrong_form_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", "--dataset", "adult", "--release-id", "one-1", "--rows", "-5"])
    assert stopped.value.code == 2 and "--rows" in capsys.readouterr().err


def test_a_patients_value_in_an_unexpected_error_stays_in_the_restricted_zone(
    workspace, monkeypatch, capsys
):
    def run(*_):
        int("Mrs Example, 12 High Street")

    stand_in(monkeypatch, "ingest", run)
    assert main(["ingest"]) == 1
    output = capsys.readouterr()
    assert "Example" not in output.err + output.out
    assert "ValueError" in output.err and "restricted/errors/ingest-" in output.err
    [report] = (workspace.restricted.errors).iterdir()
    assert "Mrs Example" in report.read_text()


def test_a_chained_error_does_not_leak_either(workspace, monkeypatch, capsys):
    def run(*_):
        try:
            int("Mrs Example")
        except ValueError as error:
            raise RuntimeError(f"could not read {error}") from error

    stand_in(monkeypatch, "train", run)
    assert main(["train"]) == 1
    assert "Example" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "code",
    [
        "int(said)",
        "date.fromisoformat(said)",
        "raise Panic(said)",
        "raise ValueError(said)",
        "[0].index(said)",
        "try:\n        int(said)\n    except ValueError as error:\n        raise error",
    ],
)
def test_only_a_refusal_shows_its_message(workspace, monkeypatch, capsys, code):
    """A ValueError that our own line raises or lets pass may hold a library's message."""
    space = {"date": date, "Panic": type("Panic", (BaseException,), {}), "said": "Mrs Example"}
    exec(f"def run(*_):\n    {code}\n", space)
    stand_in(monkeypatch, "ingest", space["run"])
    assert main(["ingest"]) == 1
    output = capsys.readouterr()
    assert "Example" not in output.err + output.out and "Traceback" not in output.err
    [report] = (workspace.restricted.errors).iterdir()
    assert "Mrs Example" in report.read_text()


@pytest.mark.parametrize("kind", [Refusal, MechanismError, BudgetExceeded, NotApproved])
def test_a_refusal_shows_its_message(workspace, monkeypatch, capsys, kind):
    def run(*_):
        raise kind("the source is missing")

    stand_in(monkeypatch, "ingest", run)
    assert main(["ingest"]) == 2 and "the source is missing" in capsys.readouterr().err


def test_a_panic_outside_a_stage_is_told_by_type_and_place_only(monkeypatch, capsys):
    from pipeline.cli import sources

    class Panic(BaseException):
        pass

    def run(_):
        raise Panic("Mrs Example")

    monkeypatch.setattr(sources, "status", run)
    assert main(["status"]) == 1
    output = capsys.readouterr().err
    assert "Panic at" in output and "Example" not in output


def test_a_stages_own_refusal_is_told_in_full_and_kept_for_dvc(workspace, monkeypatch, capsys):
    from pipeline.ledger import BudgetExceeded

    def run(*_):
        raise BudgetExceeded("it costs 3, 2 are left")

    stand_in(monkeypatch, "reserve", run)
    assert main(["reserve"]) == 2
    assert "it costs 3, 2 are left" in capsys.readouterr().err
    assert (workspace.restricted.refusal).read_text().startswith("reserve: it costs 3")


def test_the_task_command_gives_the_refusal_on_through_dvc(workspace, monkeypatch):
    # A source that holds no file of the dataset: ingest refuses, dvc turns any failure into 255,
    # the task must end with 2.
    from pipeline.runs.workspace import run_stage

    settings = workspace.params.read_text()
    empty = workspace.root.parent.parent / "empty"
    empty.mkdir()
    workspace.params.write_text(
        "\n".join(
            f"  source: {empty}" if line.startswith("  source:") else line
            for line in settings.splitlines()
        )
        + "\n"
    )
    assert run_stage(workspace, "ingest") == 2
    assert "ingest:" in (workspace.restricted.refusal).read_text()
    assert not workspace.restricted.data.exists()


def test_every_attempt_is_noted_for_the_auditor(workspace, monkeypatch):
    stand_in(monkeypatch, "ingest", lambda *_: None)
    assert main(["ingest"]) == main(["ingest"]) == 0
    lines = [json.loads(line) for line in (workspace.restricted.stages).read_text().splitlines()]
    assert [(line["stage"], line["status"]) for line in lines] == [("ingest", "FINISHED")] * 2


def test_check_source_says_so_where_there_is_nothing(home, capsys):
    assert main(["check-source", "--dataset", "adult"]) == UNCHANGED
    assert "no source of adult is declared" in capsys.readouterr().err


def test_needs_approval_follows_data_and_settings(home, workspace, monkeypatch, capsys):
    from pipeline.cli.ledger import ensure_population
    from pipeline.schema.reader import read_schema

    ensure_population(home, read_schema(workspace.dataset))
    assert main(["needs-approval"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == stages.BY_ITSELF
    mirror = []
    monkeypatch.setattr(tracking, "sync", lambda _, there: mirror.append(there.root.name))
    files.write_text(
        workspace.params,
        workspace.params.read_text().replace("self_approve: true", "self_approve: false"),
    )
    assert main(["needs-approval"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == stages.BY_A_PERSON
    assert mirror == ["adult-1"]


def test_the_projects_own_folder_is_no_workspace(home, monkeypatch, capsys):
    """It has a params.yaml, which once made a run called None in MLflow."""
    monkeypatch.chdir(project_root())
    assert main(["track"]) == 2
    assert "this folder is no workspace of a run" in capsys.readouterr().err
    assert not home.mlflow_database.exists()


def test_prompts_are_lists_or_ranges():
    assert where_of(["sex=Female,Male", "age=30..50"]) == {
        "sex": ("Female", "Male"),
        "age": "30..50",
    }
    with pytest.raises(ValueError, match="COLUMN=VALUE"):
        where_of(["sex"])
    with pytest.raises(Refusal, match="names sex twice"):
        where_of(["sex=Female", "sex=Male"])


def test_the_next_quarter_ends_with_its_month():
    assert [
        _next_quarter(day) for day in (date(2022, 12, 31), date(2022, 11, 30), date(2023, 3, 31))
    ] == [date(2023, 3, 31), date(2023, 2, 28), date(2023, 6, 30)]


def test_an_unknown_stage_has_no_command():
    with pytest.raises(ValueError, match="there is no stage 'ingests'"):
        stages.repro_command("ingests")


@pytest.mark.parametrize("became", ["reserved", "released", "abandoned"])
def test_no_schedule_charges_one_label_twice(home, source, became):
    from pipeline.cli.ledger import ensure_population
    from pipeline.dp.events import DiscreteGaussianDpEvent
    from pipeline.ledger import Ledger
    from pipeline.runs import sources
    from pipeline.schema.reader import read_schema

    ensure_population(home, read_schema(project_root() / "datasets" / "adult.yaml"))
    sources.declare(home, "adult", sources.Source(path=str(source), label="first"))
    asked, ledger = ["check-source", "--dataset", "adult"], Ledger(home.ledger)
    assert main(asked) == 0
    ledger.reserve(
        "adult-1", "adult", DiscreteGaussianDpEvent(100.0), by="test", source_label="first"
    )
    if became == "released":
        ledger.commit("adult-1")
    if became == "abandoned":
        ledger.abandon("adult-1", "refused", "custodian")
    assert main(asked) == main([*asked, "--release-id", "adult-2"]) == UNCHANGED
    # the same run, cleared in Airflow
    assert main([*asked, "--release-id", "adult-1"]) == (0 if became == "reserved" else UNCHANGED)
    assert main([*asked, "--source", str(source), "--label", "first"]) == UNCHANGED
    assert main([*asked, "--source", str(source), "--label", "second"]) == 0
    sources.declare(home, "adult", sources.Source(path=str(source), label="second"))
    assert main(asked) == 0
    elsewhere = [*asked, "--source", str(source / "adult.csv")]
    assert main(elsewhere) == 0  # named by hand, with a label of its own
    assert main([*elsewhere, "--label", "first"]) == UNCHANGED


def test_check_source_refuses_where_nothing_lies_at_the_source(home, source, capsys):
    from pipeline.runs import sources

    assert main(["check-source", "--dataset", "adult", "--source", str(source / "nowhere")]) == 2
    assert "there is nothing at" in capsys.readouterr().err.splitlines()[-1]
    sources.declare(home, "adult", sources.Source(path=str(source), label="first"))
    source.rename(source.with_name("moved"))
    assert main(["check-source", "--dataset", "adult"]) == 2
    assert f"there is nothing at {source}, the source of adult" in capsys.readouterr().err


def test_check_source_names_the_declarations_that_a_run_leaves_out(home, source, capsys):
    assert (
        main(
            [
                "check-source",
                "--dataset",
                "adult",
                "--source",
                str(source),
                "--other-datasets",
                "uci_heart,hr_attrition",
            ]
        )
        == 0
    )
    assert "uci_heart, hr_attrition were declared too" in capsys.readouterr().err


def test_a_run_asks_for_a_person_but_never_for_less(home, source, capsys):
    from pipeline import params

    asked = ["prepare", "--dataset", "adult", "--source", str(source), "--label", "first"]
    assert main([*asked, "--release-id", "adult-1", "--approval", stages.A_PERSON]) == 0
    assert not params.load(home.workspace("adult-1").params).approve.self_approve
    assert main([*asked, "--release-id", "adult-1", "--approval", stages.AS_DECLARED]) == 2
    assert "approve.self_approve: False then, True now" in capsys.readouterr().err
    (home.root / "params.yaml").write_text(
        (project_root() / "params.yaml")
        .read_text()
        .replace("self_approve: true", "self_approve: false")
    )
    for number, approval in enumerate(stages.APPROVALS, 2):
        assert main([*asked, "--release-id", f"adult-{number}", "--approval", approval]) == 0
        assert not params.load(home.workspace(f"adult-{number}").params).approve.self_approve
