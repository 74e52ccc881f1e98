"""On its day an upload goes, with every row that came from it, and nothing else does."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest
from test_formats import csv_text, schema
from test_source_forms import EXAMPLE
from upload_cases import MARK, SOME_DAY, holds, lifted

from pipeline import files, params
from pipeline.catalog import Home
from pipeline.cli.parser import main
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.ingest import stage
from pipeline.runs import sources, version_stores, workspace
from pipeline.runs.uploads import deletion, keys, pieces, records
from pipeline.runs.uploads.records import Upload
from pipeline.schema.reader import read_schema

CONTENT = csv_text(EXAMPLE).replace("ä", MARK).encode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    home = Home.find()
    home.datasets.mkdir(parents=True)
    schema(home.datasets)
    return home


@pytest.fixture
def upload(home: Home) -> Upload:
    return lifted(home, "trial", {"people.csv": CONTENT}, piece=60)


def run_of(home: Home, upload: Upload, release_id: str) -> Path:
    """A workspace as a run of the upload leaves it, made by hand: rows in every place of them."""
    place = home.workspace(release_id)
    zone = place.restricted
    files.write_text(place.params, f"release: {{source: '{upload.address}'}}\n")
    for path in (
        zone.data / "patients.parquet",
        zone.checkpoints.counts / "block",
        zone.augmented / "people.csv",
        zone.errors / "train.txt",
        zone.root / ".data.12345678.tmp" / "work" / "part.parquet",
        place.root / ".dvc" / "cache" / "files" / "md5" / "ab" / "cdef",
    ):
        files.write_text(path, MARK)
    for path in (zone.run, zone.report.page, zone.reservation, place.released.model / "model.json"):
        files.write_text(path, "counts only")
    return place.root


def test_a_real_run_leaves_no_row_behind(home: Home, upload: Upload) -> None:
    """Ingest by DVC, pushed to the restricted remote; another run shares one object."""
    place = workspace.make(home, workspace.Request(release_id="first-1", dataset="trial"))
    assert workspace.run_stage(place, "ingest") == 0
    version_stores.commit_all(place.root, "ingest")
    version_stores.dvc("push", "--quiet", "--remote", "restricted", cwd=place.root)
    version_stores.git("push", "-q", "origin", "HEAD", cwd=place.root)
    objects = {path for path in home.restricted_remote.rglob("*") if path.is_file()}
    [listing] = [path for path in objects if path.name.endswith(".dir")]
    shared = json.loads(listing.read_text())[0]["md5"]
    _another_run(home, shared)
    shutil.rmtree(place.root)  # as operations.md allows for a published one

    gone = deletion.delete(home, upload.id)
    left = {path for path in home.restricted_remote.rglob("*") if path.is_file()}
    assert [path.parent.name + path.name for path in left] == [shared]
    assert len(objects) > 3
    assert gone.deletion is not None
    assert ["1 objects of DVC", "runs of other sources have the same content"] in (
        gone.deletion["remains"]
    )
    assert "first-1" in version_stores.branches(home.restricted_store)


def _another_run(home: Home, digest: str) -> None:
    tree = home.root / "other"
    version_stores.clone(home.restricted_store, tree, branch="other-1")
    lock = f"stages: {{ingest: {{outs: [{{path: restricted/data, md5: {digest}}}]}}}}\n"
    (tree / "dvc.lock").write_text(lock)
    (tree / "params.yaml").write_text("release: {source: a folder}\n")
    version_stores.commit_all(tree, "other")
    version_stores.git("push", "-q", "origin", "HEAD", cwd=tree)
    shutil.rmtree(tree)


def test_a_run_whose_settings_were_changed_since_is_found_by_what_ingest_noted(
    home: Home, upload: Upload
) -> None:
    place = workspace.make(home, workspace.Request(release_id="first-1", dataset="trial"))
    read = (params.load(place.params), read_schema(place.dataset))
    stage.run(place, *read)
    text = place.params.read_text(encoding="utf-8").replace(upload.address, "/another/folder")
    files.write_text(place.params, text)
    deletion.delete(home, upload.id)
    assert not place.restricted.data.exists()


def test_rows_go_and_counts_stay(home: Home, upload: Upload) -> None:
    other = lifted(home, "trial", {"people.csv": CONTENT})
    ours, theirs = run_of(home, upload, "first-1"), run_of(home, other, "second-1")
    gone = deletion.delete(home, upload.id)
    assert gone.state == "deleted" and gone.files == ()
    assert holds(ours, MARK) == []
    assert len(holds(theirs, MARK)) == 6
    kept = {path.name for path in ours.rglob("*") if path.is_file()}
    assert kept == {
        "params.yaml", "run.json", "index.html", "reservation.json", "model.json", "stage.lock"
    }  # fmt: skip
    assert not home.upload_key(upload.id).exists() and home.upload_key(other.id).exists()
    assert list(home.upload(upload.id).root.rglob("*.age")) == []
    assert pieces.present(home.upload(other.id).pieces(0))
    assert deletion.delete(home, upload.id) == gone
    assert gone.deletion is not None
    assert {name for name, _ in gone.deletion["remains"]} >= {"the ledger"}


def test_the_declaration_goes_only_where_it_names_the_upload(home: Home, upload: Upload) -> None:
    assert sources.load(home)["trial"].path == upload.address
    other = lifted(home, "trial", {"people.csv": CONTENT})
    deletion.delete(home, upload.id)
    assert sources.load(home)["trial"].path == other.address
    deletion.delete(home, other.id)
    assert sources.load(home) == {}


def test_a_stage_that_runs_is_not_disturbed_and_the_key_goes_at_once(
    home: Home, upload: Upload
) -> None:
    run_of(home, upload, "first-1")
    zone = home.workspace("first-1").restricted
    with zone.stage_lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refusal, match="a stage of run first-1 is running"):
            deletion.delete(home, upload.id)
        assert (zone.data / "patients.parquet").exists()
        assert not home.upload_key(upload.id).exists()
        assert [one.id for one in deletion.due(home)] == [upload.id]
        assert deletion.delete_due(home)[0] == []
    assert [one.id for one in deletion.delete_due(home)[0]] == [upload.id]
    assert holds(home.runs, MARK) == [] and deletion.due(home) == []


STEPS = (
    (keys, "destroy"),
    (sources, "withdraw"),
    (deletion.stored_objects, "remove_rows"),
    (deletion, "_clear_workspace"),
    (deletion, "_removed"),
)


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_deletion_that_is_killed_is_ended_by_the_next(
    home: Home, upload: Upload, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run_of(home, upload, "first-1")

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*STEPS[step], killed)
        deletion.delete(home, upload.id)
    with pytest.raises(Refusal, match="is no source"):
        records.readable(home, upload.id)
    assert [one.id for one in deletion.due(home)] == [upload.id]
    assert deletion.delete(home, upload.id).state == "deleted"
    assert holds(home.runs, MARK) == []


def test_what_was_never_begun_is_swept(home: Home, upload: Upload) -> None:
    for name, age in (("a" * 16, 2 * 86400), ("b" * 16, 0)):
        files.write_text(home.upload_key(name), "a key")
        files.write_text(home.upload(name).pieces(0) / "x", "a piece")
        scratch = home.state / "restricted" / f"check-{name}"
        files.write_text(scratch / "typed.parquet", MARK)
        for path in (home.upload_key(name), home.upload(name).root, scratch):
            os.utime(path, (time.time() - age, time.time() - age))
    deletion.delete_due(home)
    assert not home.upload_key("a" * 16).exists() and not home.upload("a" * 16).root.exists()
    assert home.upload_key("b" * 16).exists() and home.upload("b" * 16).root.exists()
    assert home.upload_key(upload.id).exists()
    assert len(holds(home.root, MARK)) == 1


def test_keys_stay_while_the_disk_of_the_uploads_is_away(home: Home, upload: Upload) -> None:
    os.utime(home.upload_key(upload.id), (0, 0))
    away = home.uploads.rename(home.root / "away")
    deletion.delete_due(home)
    away.rename(home.uploads)
    assert home.upload_key(upload.id).exists()


def test_the_day_decides(home: Home, upload: Upload) -> None:
    assert deletion.due(home, SOME_DAY - timedelta(days=1)) == []
    assert [one.id for one in deletion.due(home, SOME_DAY)] == [upload.id]


def test_the_commands(home: Home, upload: Upload, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uploads", "list"]) == 0
    assert upload.id in capsys.readouterr().out
    assert main(["uploads", "delete-due"]) == 0
    assert "Nothing is due." in capsys.readouterr().out
    assert main(["uploads", "delete", upload.id]) == 0
    assert "the ledger" in capsys.readouterr().out
    assert main(["uploads", "delete", "0" * 16]) == 2
    assert main(["uploads", "list"]) == 0
    assert "deleted" in capsys.readouterr().out
