"""What goes after its time, and what never does."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upkeep_cases import DATASET, POPULATION, RELEASE

from pipeline.catalog import Home, Workspace
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import version_stores, workspace
from pipeline.runs.uploads import deletion
from pipeline.upkeep import backup, retention, tidy
from pipeline.upkeep.retention import Retention

SOON, LATE = timedelta(days=40), timedelta(days=200)


def later(days: timedelta) -> datetime:
    return datetime.now(UTC) + days


def goes(home: Home, days: timedelta, settings: Retention | None = None) -> list[str]:
    plan = tidy.plan(home, settings or Retention(), later(days))
    return [item.what for item in plan.goes]


def why(home: Home, what: str, days: timedelta = LATE) -> str:
    stays = tidy.plan(home, Retention(), later(days)).stays
    return next(reason for name, _, reason in stays if name == what)


def another(home: Home, name: str, *, charged: bool = True) -> Workspace:
    """A run beside the published one, as it was left."""
    copy = home.workspace(name)
    shutil.copytree(home.workspace(RELEASE).root, copy.root)
    copy.restricted.complete.unlink()
    if charged:
        event = DiscreteGaussianDpEvent(100.0)
        Ledger(home.ledger).reserve(name, POPULATION, event, by="tests", source_label=name)
    return copy


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != "stage.lock"
    }


def test_rows_go_first_and_the_workspace_later(home: Home) -> None:
    run = home.workspace(RELEASE)
    (run.restricted.data / "patients.parquet").write_text("rows")
    before = everything(home.state)
    assert goes(home, timedelta(days=20)) == []
    assert goes(home, SOON) == [f"runs/{RELEASE}: rows, checkpoints, cache"]
    tidy.run(home, tidy.plan(home, Retention(), later(SOON)))
    assert not run.restricted.data.exists() and not run.restricted.checkpoints.root.exists()
    assert run.restricted.report.page.is_file() and run.restricted.reservation.is_file()
    assert goes(home, SOON) == []
    tidy.run(home, tidy.plan(home, Retention(), later(LATE)))
    assert list(home.runs.iterdir()) == []
    assert everything(home.state) == before  # nothing of ledger, keys, stores
    request = workspace.Request(
        release_id=RELEASE, dataset=DATASET, source=str(home.root), label="first"
    )
    with pytest.raises(Refusal, match="published already"):
        workspace.make(home, request)


def test_a_charge_that_is_not_published_keeps_its_run(home: Home) -> None:
    ledger, names = Ledger(home.ledger), [f"toy-{number}" for number in range(2, 6)]
    for name in names:
        another(home, name)
    for name in names[1:]:
        ledger.begin_training(name, "tests", "token")
    for name in names[2:]:
        ledger.note_model(name, "tests", "a" * 64)
    ledger.abandon(names[3], "tests", "tests")
    plan = tidy.plan(home, Retention(), later(LATE))
    assert [item.what for item in plan.goes] == [f"runs/{RELEASE}", "runs/toy-5"]
    stays = {name: why for name, _, why in plan.stays}
    for name in names[:3]:
        assert stays[f"runs/{name}"] == "charged and not published: it may go on"


def test_what_cannot_be_judged_stays(home: Home) -> None:
    run = home.workspace(RELEASE)
    complete = run.restricted.complete
    complete.rename(complete.with_name("aside"))
    assert goes(home, LATE) == []
    assert "its last stage is not recorded" in why(home, f"runs/{RELEASE}")
    complete.with_name("aside").rename(complete)
    version_stores.git("tag", "-d", RELEASE, cwd=home.released_store)
    assert goes(home, LATE) == []
    assert "its tag is missing" in why(home, f"runs/{RELEASE}")
    run.params.write_text("release: {")
    assert goes(home, LATE) == []
    assert "cannot be read" in why(home, f"runs/{RELEASE}")


def test_a_run_that_was_never_charged_goes_when_nobody_waits_for_it(home: Home) -> None:
    another(home, "toy-2", charged=False)
    assert "runs/toy-2: rows, checkpoints, cache" not in goes(home, timedelta(days=10))
    assert "runs/toy-2" in goes(home, LATE)


def test_nothing_goes_under_a_stage_that_runs(home: Home) -> None:
    plan = tidy.plan(home, Retention(), later(LATE))
    with home.workspace(RELEASE).restricted.stage_lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, reasons = tidy.run(home, plan)
    assert "is running: it goes the next time" in reasons[0]
    assert home.workspace(RELEASE).restricted.report.page.is_file()


def test_nothing_goes_of_a_run_that_goes_on_since_it_was_looked_at(home: Home) -> None:
    run = another(home, "toy-2", charged=False)
    plan = tidy.plan(home, Retention(), later(LATE))
    assert "runs/toy-2" in [item.what for item in plan.goes]
    event = DiscreteGaussianDpEvent(100.0)
    Ledger(home.ledger).reserve("toy-2", POPULATION, event, by="tests", source_label="toy-2")
    before = everything(run.root)
    _, reasons = tidy.run(home, plan)
    assert reasons == [
        "runs/toy-2: somebody goes on with it: charged and not published: it may go on"
    ]
    assert everything(run.root) == before


def test_a_kill_leaves_no_half_workspace(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(path: Path) -> None:
        shutil.rmtree(path / "restricted")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "remove", killed)
        with pytest.raises(Killed):
            tidy.run(home, tidy.plan(home, Retention(), later(LATE)))
    assert not home.workspace(RELEASE).root.exists()
    assert len(list(home.runs.iterdir())) == 1
    tidy.run(home, tidy.plan(home, Retention()))
    assert list(home.runs.iterdir()) == []


def test_objects_that_nothing_names_go_after_a_day_and_no_other(home: Home) -> None:
    before = everything(home.restricted_remote)
    stray = home.restricted_remote / "files" / "md5" / "00" / ("1" * 30)
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("of a push that was cut")
    assert goes(home, timedelta(0)) == []
    old = time.time() - 3 * 24 * 3600
    for path in home.restricted_remote.rglob("*"):
        os.utime(path, (old, old))
    assert goes(home, timedelta(0)) == ["1 objects of DVC"]
    shutil.rmtree(home.runs)  # the branches of the store name the others
    tidy.run(home, tidy.plan(home, Retention()))
    assert everything(home.restricted_remote) == before


def test_a_list_of_objects_that_cannot_be_read_keeps_all(home: Home) -> None:
    stray = home.restricted_remote / "files" / "md5" / "00" / ("1" * 30)
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("of a push that was cut")
    (home.workspace(RELEASE).root / "dvc.lock").write_text("")
    os.utime(stray, (0, 0))
    assert goes(home, timedelta(0)) == []
    assert "no object is removed" in why(home, "objects that nothing names", timedelta(0))


def test_stored_rows_go_where_params_say_so(home: Home) -> None:
    settings = Retention(stored_rows_days=365)
    shutil.rmtree(home.runs)
    n_before = len(everything(home.restricted_remote))
    assert goes(home, LATE, settings) == []
    tidy.run(home, tidy.plan(home, settings, later(timedelta(days=400))))
    assert 0 < len(everything(home.restricted_remote)) < n_before


def test_logs_of_old_runs_of_dags_go(home: Home) -> None:
    logs = home.airflow / "logs"
    for name, age in (("run_id=old", 100), ("run_id=new", 1)):
        path = logs / "dag_id=refresh" / name / "task_id=train" / "attempt=1.log"
        path.parent.mkdir(parents=True)
        path.write_text("a line")
        moment = time.time() - age * 24 * 3600
        for one in (path, path.parent, path.parent.parent):
            os.utime(one, (moment, moment))
    tidy.run(home, tidy.plan(home, Retention()))
    assert [path.name for path in (logs / "dag_id=refresh").iterdir()] == ["run_id=new"]


def test_a_log_that_goes_while_it_is_looked_at_is_passed_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = home.airflow / "logs" / "dag_id=refresh"
    for name in ("run_id=one", "run_id=two"):
        (runs / name).mkdir(parents=True)
        (runs / name / "attempt=1.log").write_text("a line")
        os.utime(runs / name / "attempt=1.log", (0, 0))
        os.utime(runs / name, (0, 0))
    rglob = Path.rglob

    def going(path: Path, pattern: str) -> list[Path]:
        paths = list(rglob(path, pattern))
        if path.name == "run_id=one":
            shutil.rmtree(path)
        return paths

    monkeypatch.setattr(Path, "rglob", going)
    assert goes(home, timedelta(0)) == ["logs of 1 runs of DAGs"]


def leave(folder: Path, days: int, *names: str) -> Path:
    """A folder as a killed backup leaves it, or somebody else's."""
    folder.mkdir(mode=0o700)
    for name in names:
        (folder / name).mkdir()
        (folder / name / "holdout.key").write_text("secret")
    moment = time.time() - days * 24 * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment))
    return folder


@pytest.mark.parametrize("command", ["tidy", "backup"])
def test_the_plain_copy_of_a_killed_backup_goes_after_a_day(
    home: Home, tmp_path: Path, command: str
) -> None:
    ours = [
        leave(home.root / ".backup-ab_d3fgh", 2, "backup"),
        leave(home.root / ".backup-bbcd3fgh", 2, ".backup.0123abcd.tmp"),
    ]
    public = leave(home.root / ".backup-gbcd3fgh", 2, "backup")
    public.chmod(0o755)
    locked = leave(home.root / ".backup-hbcd3fgh", 2, "backup")
    (home.root / ".backup-ibcd3fgh").symlink_to(public)
    others = [
        leave(home.root / ".backup-cbcd3fgh", 0, "backup"),  # somebody may be at it
        leave(home.root / ".backup-20261101", 2, "letters"),
        leave(home.root / ".backup-20261102", 2, "backup", "letters"),
        leave(home.root / ".backup-mine", 2, "backup"),
        *(public, locked, home.root / ".backup-ibcd3fgh"),
    ]
    descriptor = os.open(locked, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if command == "tidy":
        tidy.run(home, tidy.plan(home, Retention()))
    else:
        backup.make(home, tmp_path / "copy", "tests", backup.Wishes(), lambda _: None)
    os.close(descriptor)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)
    assert (public / "backup" / "holdout.key").is_file()


@pytest.mark.parametrize(
    "block",
    ["{rows_days: 7}", "{rows_days: 1.5}", "{rows_days: null}", "{workspaces_days: 20}", "{x: 1}"],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, block: str) -> None:
    (tmp_path / "params.yaml").write_text(f"retention: {block}\n")
    with pytest.raises(Refusal, match="retention"):
        retention.load(tmp_path / "params.yaml")


def test_a_params_file_without_the_block_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("release: {}\n")
    assert retention.load(tmp_path / "params.yaml") == Retention()
    assert retention.load(Home(tmp_path).params) == Retention()
