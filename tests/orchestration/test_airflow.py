"""The one Airflow session of the suite: a release whose training and publishing are killed, a
source declared again under its old label, a source that is not there, a second release that a
person approves, a draw.

The story is told once, in the fixture `walk`; the tests look at what it left.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from pipeline import environment, files
from pipeline.catalog import Home, project_root
from pipeline.cli.services import setup, wait_for_airflow
from pipeline.cli.task_log import TaskLog
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.released.verify import verify
from pipeline.runs import sources, version_stores
from pipeline.services import airflow_server, processes, tracking
from pipeline.services.airflow_api import AirflowApi
from pipeline.simulator import command
from pipeline.stages import A_PERSON, BY_A_PERSON, BY_ITSELF

pytestmark = pytest.mark.airflow

POPULATION, PATIENTS = "simulated_pathways", 150
SMALL = {
    "table": {"steps": 20},
    "pathway": {"steps": 12, "calibration_patients": 200, "width": 8},
    "checkpoint_steps": 2,
}


@dataclass
class Walk:
    """What happened. `tasks[run]`: task to (state, tries); `killed`: stages whose process was
    killed.
    """

    home: Home
    runs: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    entries: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    counts_at_kill: dict[str, float] = field(default_factory=dict)
    visible_at_kill: bool | None = None
    xcoms: list[str] = field(default_factory=list)
    who_approves: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    error_lines: list[str] = field(default_factory=list)
    refused_form: str = ""
    left_over: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        patch.setenv(environment.AIRFLOW_PORT_VARIABLE, str(_free_port()))
        patch.setenv("OMP_NUM_THREADS", "1")
        home = Home.find()
        _settings(home)
        setup()
        processes.start(home, airflow_server.airflow_services(home))
        try:
            family = [
                child
                for process in processes.running_services(home).values()
                for child in [process, *process.children(recursive=True)]
            ]
            done = _tell(home, wait_for_airflow(home))
        finally:
            processes.stop(home)
        done.left_over = [
            process.name()
            for process in family
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
        yield done


def _tell(home: Home, api: AirflowApi) -> Walk:
    walk = Walk(home)
    _declare(home, "first", date(2022, 12, 31))
    with pytest.raises(ValueError, match="400") as refused:
        api.trigger("refresh", {"dataset": POPULATION, "epsilon": -1})
    walk.refused_form = str(refused.value)

    with _killer(walk, home):
        _run(walk, api, "refresh", "first-1", {"dataset": POPULATION})
    _declare_again(walk, api, "first", date(2022, 12, 31))
    _run(
        walk,
        api,
        "refresh",
        "nowhere-1",
        {"dataset": POPULATION, "source": str(home.state / "nowhere")},
    )
    walk.error_lines = _error_lines(walk, api, "nowhere-1")
    _declare(home, "second", date(2023, 3, 31))
    _settings(home, warn_below_share=0.99)
    _run(
        walk,
        api,
        "refresh",
        "second-1",
        {"dataset": POPULATION, "approval": A_PERSON},
        _approver(api),
    )
    _run(walk, api, "draw", "drawn-1", {"model_of": "first-1", "rows": 30})
    _run(walk, api, "budget_report", "report-1", {})
    walk.events = [
        (event["name"], event["extra"])
        for event in api.call("GET", "/api/v2/assets/events?order_by=timestamp")["asset_events"]
    ]
    return walk


def _settings(home: Home, *, warn_below_share: float = 0.01) -> None:
    settings = YAML(typ="safe").load((project_root() / "params.yaml").read_text())
    settings["privacy"] |= {"warn_below_share": warn_below_share, "warn_below_releases": 1}
    settings["train"] |= SMALL
    settings["release"]["rows"] = 60
    assert settings["approve"]["self_approve"]
    home.root.mkdir(parents=True, exist_ok=True)
    with files.replacing(home.root / "params.yaml") as path, path.open("w") as file:
        YAML().dump(settings, file)


def _declare(home: Home, label: str, extract_date: date) -> None:
    out = home.state / "source" / label
    arguments = argparse.ArgumentParser()
    command.add_arguments(arguments)
    command.run(
        arguments.parse_args(
            ["--patients", str(PATIENTS), "--out", str(out), "--extract-date", str(extract_date)]
        )
    )
    sources.declare(
        home, POPULATION, sources.Source(path=str(out), label=label, extract_date=extract_date)
    )


def _declare_again(walk: Walk, api: AirflowApi, label: str, extract_date: date) -> None:
    """By the DAG for custodians: the event of its asset starts the next run of `refresh`, here
    called `again`.
    """
    before = _runs(api, "refresh")
    path = str(walk.home.state / "source" / label)
    run = api.trigger(
        "declare_source",
        {"dataset": POPULATION, "path": path, "label": label, "extract_date": str(extract_date)},
    )
    _finish(walk, api, "declare_source", "declared", run)
    since = time.monotonic()
    while not (new := _runs(api, "refresh") - before):
        assert time.monotonic() - since < processes.STALL_SECONDS, (
            "the declared source started no run of refresh"
        )
        time.sleep(0.2)
    _finish(walk, api, "refresh", "again", *new)


def _runs(api: AirflowApi, dag: str) -> set[str]:
    return {run["dag_run_id"] for run in api.call("GET", f"/api/v2/dags/{dag}/dagRuns")["dag_runs"]}


def _error_lines(walk: Walk, api: AirflowApi, name: str) -> list[str]:
    """What the log of `check_source` says at the level of an error."""
    log = TaskLog(walk.home, "refresh", walk.runs[name], "check_source", 1)
    return [json.dumps(entry) for entry in log.entries() if entry.get("level") == "error"]


def _run(
    walk: Walk,
    api: AirflowApi,
    dag: str,
    release_id: str,
    conf: dict[str, Any],
    meanwhile: Callable[[str], None] = lambda run: None,
) -> None:
    """Triggers a run with this release id and waits for its end."""
    _finish(
        walk, api, dag, release_id, api.trigger(dag, {**conf, "release_id": release_id}), meanwhile
    )


def _finish(
    walk: Walk,
    api: AirflowApi,
    dag: str,
    release_id: str,
    run: str,
    meanwhile: Callable[[str], None] = lambda run: None,
) -> None:
    """Waits for the end, doing `meanwhile` again and again, as long as a state or a log changes;
    notes what happened.
    """
    last, since = _progress(walk.home, api, dag, run), time.monotonic()
    while (state := api.run_state(dag, run)) not in ("success", "failed"):
        if (now := _progress(walk.home, api, dag, run)) != last:
            last, since = now, time.monotonic()
        assert time.monotonic() - since < processes.STALL_SECONDS, f"{release_id} hangs: {last}"
        meanwhile(run)
        time.sleep(0.2)
    walk.runs[release_id] = run
    tasks = api.tasks(dag, run)
    walk.states[release_id] = state
    walk.tasks[release_id] = {
        task["task_id"]: (task["state"], task["try_number"]) for task in tasks
    }
    walk.entries[release_id] = [
        (entry.kind, entry.release_id) for entry in Ledger(walk.home.ledger).entries(POPULATION)
    ]
    for task in tasks:
        for attempt in range(1, task["try_number"] + 1):
            walk.log += [
                f"{release_id} {task['task_id']}: {line}"
                for line in TaskLog(walk.home, dag, run, task["task_id"], attempt).lines()
            ]
    found = api.call("GET", f"/api/v2/dags/{dag}/dagRuns/~/taskInstances/~/xcomEntries?limit=1000")[
        "xcom_entries"
    ]
    walk.xcoms = sorted({*walk.xcoms, *(f"{entry['task_id']} {entry['key']}" for entry in found)})
    if walk.tasks[release_id].get("needs_approval", ("", 0))[0] == "success":
        of_run = f"/api/v2/dags/{dag}/dagRuns/{urllib.parse.quote(run)}"
        place = f"{of_run}/taskInstances/needs_approval/xcomEntries/return_value"
        walk.who_approves[release_id] = api.call("GET", place)["value"]


def _progress(
    home: Home, api: AirflowApi, dag: str, run: str
) -> tuple[list[tuple[str, str, int]], int]:
    """Every task's state and tries, and the size of the run's logs."""
    logs = (home.airflow / "logs" / f"dag_id={dag}" / f"run_id={run}").rglob("*.log")
    return [
        (task["task_id"], task["state"], task["try_number"]) for task in api.tasks(dag, run)
    ], sum(path.stat().st_size for path in logs)


@contextmanager
def _killer(walk: Walk, home: Home) -> Iterator[None]:
    """Kills training once it has measured counts, and publishing once the tag is there, each at its
    first attempt.

    In a thread of its own, so that a slow answer of Airflow does not let the moment pass.
    """
    workspace, ended = home.workspace("first-1"), threading.Event()

    def kill() -> None:
        counts = {
            path.name: path.stat().st_mtime
            for path in workspace.restricted.checkpoints.counts.glob("*.npz")
        }
        if "train" not in walk.killed and len(counts) > 3 and _kill_stage(workspace.root, "train"):
            walk.killed.append("train")
            walk.counts_at_kill = counts
        is_begun = "train" in walk.killed and version_stores.is_tagged(
            home.released_store, "first-1"
        )
        if is_begun and _kill_stage(workspace.root, "publish"):
            walk.killed.append("publish")
            walk.visible_at_kill = (home.published / "first-1").exists()

    def watch() -> None:
        while not ended.wait(0.1) and len(walk.killed) < 2:
            kill()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _kill_stage(folder: Path, stage: str) -> bool:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        try:
            if (
                words[-3:] == ["-m", "pipeline", stage]
                and "python" in words[0]
                and process.cwd() == str(folder.resolve())
            ):
                process.kill()
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def _approver(api: AirflowApi) -> Callable[[str], None]:
    """A person who approves. An answer within a second of the question can fail the task,
    so it takes five.
    """
    asked: list[float] = []

    def answer(run: str) -> None:
        waiting = [
            task
            for task in api.tasks("refresh", run)
            if task["task_id"] == "approval" and task["state"] == "awaiting_input"
        ]
        if waiting and not asked:
            asked.append(time.monotonic())
        if waiting and time.monotonic() - asked[0] > 5:
            api.answer("refresh", run, "approval", "Approve")
            asked[0] += 1e9

    return answer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _said(walk: Walk) -> str:
    return "\n".join(walk.log[-60:])


def test_a_release_whose_training_and_publishing_were_killed_finishes(walk):
    assert walk.killed == ["train", "publish"]
    assert walk.states["first-1"] == "success", _said(walk)
    assert walk.tasks["first-1"]["train"] == ("success", 2)
    assert walk.tasks["first-1"]["publish"] == ("success", 2)


def test_it_was_charged_once_and_released_once(walk):
    assert walk.entries["first-1"] == [
        ("opened", None),
        ("reserved", "first-1"),
        ("training", "first-1"),
        ("released", "first-1"),
    ]


def test_the_retry_of_training_measured_nothing_a_second_time(walk):
    counts = walk.home.workspace("first-1").restricted.checkpoints.counts
    assert walk.counts_at_kill
    assert {
        name: (counts / name).stat().st_mtime for name in walk.counts_at_kill
    } == walk.counts_at_kill


@pytest.mark.parametrize("release_id", ["first-1", "second-1", "drawn-1"])
def test_a_published_release_is_sound(walk, release_id, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(walk.home.root))
    assert [check for check in verify(walk.home, release_id) if not check.passed] == []


@pytest.mark.parametrize("release_id", ["first-1", "drawn-1", "report-1", "declared"])
def test_a_healthy_run_is_green_from_end_to_end(walk, release_id):
    assert {state for state, _ in walk.tasks[release_id].values()} == {"success"}


def test_a_declared_source_starts_a_run_and_the_charged_label_decides(walk):
    assert walk.tasks["declared"] == {"declare": ("success", 1)}
    assert walk.runs["again"].startswith("asset_triggered__") and walk.states["again"] == "success"
    assert {state for state, _ in walk.tasks["again"].values()} == {"skipped"}
    assert walk.entries["again"] == walk.entries["first-1"]
    assert {path.name for path in walk.home.runs.iterdir()} == {"first-1", "second-1", "drawn-1"}


def test_events_of_assets_carry_public_names_only(walk):
    assert walk.events == [
        ("extract", {"dataset": POPULATION, "release_id": "first-1"}),
        ("source", {"dataset": POPULATION, "label": "first"}),
        ("extract", {"dataset": POPULATION, "release_id": "second-1"}),
        ("extract", {"model_of": "first-1", "release_id": "drawn-1"}),
    ]


def test_a_source_that_is_not_there_stops_the_first_task_with_an_error_line(walk):
    assert walk.states["nowhere-1"] == "failed" and walk.tasks["nowhere-1"]["check_source"] == (
        "failed",
        1,
    )
    assert any("there is nothing at" in line and "nowhere" in line for line in walk.error_lines), (
        walk.error_lines
    )
    assert walk.entries["nowhere-1"] == walk.entries["first-1"]


def test_the_next_extract_composes_with_the_first(walk):
    assert walk.states["second-1"] == "success", _said(walk)
    assert walk.entries["second-1"] == [
        *walk.entries["first-1"],
        *((kind, "second-1") for kind in ("reserved", "training", "released")),
    ]
    balance = Ledger(walk.home.ledger).balance(POPULATION)
    assert balance.n_releases == 2 and 0 < balance.spent_rdp <= balance.limit_rdp


def test_a_person_approved_the_second_though_it_could_approve_itself_and_the_manifest_says_so(walk):
    assert walk.who_approves == {"first-1": BY_ITSELF, "second-1": BY_A_PERSON}
    assert walk.tasks["second-1"]["approval"][0] == "success"
    approval = json.loads(walk.home.workspace("second-1").restricted.approval.read_text())
    assert (
        approval["approved"] and not approval["self_approved"] and processes.USER in approval["by"]
    )
    told = {
        name: json.loads((walk.home.published / name / "manifest.json").read_text())[
            "self_approved"
        ]
        for name in ("first-1", "second-1")
    }
    assert told == {"first-1": True, "second-1": False}


def test_a_draw_is_free(walk):
    assert walk.states["drawn-1"] == "success", _said(walk)
    assert walk.entries["drawn-1"] == walk.entries["second-1"]
    assert (
        json.loads((walk.home.published / "drawn-1" / "manifest.json").read_text())["drawn_from"]
        == "first-1"
    )


def test_a_low_budget_is_the_one_pink_task_and_stops_nothing(walk):
    assert walk.states["second-1"] == "success"
    assert {
        task: state for task, (state, _) in walk.tasks["second-1"].items() if state != "success"
    } == {"enough_budget": "skipped"}
    for task in ("reserve", "enough_budget"):
        assert any(
            line.startswith(f"second-1 {task}:") and "LOW BUDGET" in line and POPULATION in line
            for line in walk.log
        )
        assert not any(
            line.startswith(f"first-1 {task}:") and "LOW BUDGET" in line for line in walk.log
        )


def test_the_budget_report_is_on_disk_and_in_mlflow(walk):
    assert walk.states["report-1"] == "success", _said(walk)
    figures = json.loads((walk.home.budget_report.figures).read_text())["populations"][POPULATION]
    assert figures["releases"] == {"reserved": 0, "released": 2, "abandoned": 0}
    client = tracking.client_of(walk.home)
    [run] = client.search_runs(
        [client.get_experiment_by_name(tracking.BUDGET_EXPERIMENT).experiment_id]
    )
    assert run.data.tags["chain_head"] == Ledger(walk.home.ledger).chain_head()


def test_only_the_answer_of_a_person_went_through_xcom(walk):
    assert {entry.split()[0] for entry in walk.xcoms} <= {"approval", "needs_approval"}, walk.xcoms


def test_the_form_refuses_a_negative_epsilon(walk):
    assert "epsilon" in walk.refused_form


def test_everything_stops(walk):
    assert walk.left_over == []
    assert processes.running_services(walk.home) == {}
