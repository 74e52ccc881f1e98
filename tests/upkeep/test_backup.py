"""What is in a backup, that it is consistent while somebody writes, and that it comes back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pyrage import x25519
from upkeep_cases import POPULATION, RELEASE

from pipeline import files
from pipeline.catalog import Home
from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.released import manifest
from pipeline.released.privacy_facts import published_chain_heads
from pipeline.runs import chain_heads, version_stores
from pipeline.upkeep import backup, check, parts, restore, sealed
from pipeline.upkeep.restore import Statement

NOTHING_SINCE = Statement(nothing_since=True, nothing_refused=True)
SECRET = b"the secret of an upload"


def quiet(_: str) -> None:
    return


def make(home: Home, folder: Path, **wishes: bool) -> dict:
    return backup.make(home, folder, "tests", backup.Wishes(**wishes), quiet)


def faults(folder: Path) -> list[str]:
    return [fault for _, fault in check.faults(check.read(folder)) if fault]


def noted(home: Home) -> dict[str, str]:
    return published_chain_heads(home) | chain_heads.notes(home)


def lose(home: Home) -> None:
    for folder in (home.state, home.runs, home.mlruns):
        shutil.rmtree(folder, ignore_errors=True)


def charge(home: Home, release: str, *, trained: bool = False) -> None:
    ledger = Ledger(home.ledger)
    ledger.reserve(
        release, POPULATION, DiscreteGaussianDpEvent(100.0), by="tests", source_label=release
    )
    if trained:
        ledger.begin_training(release, "tests", "token")
        ledger.note_model(release, "tests", "a" * 64)
        chain_heads.note(home, release)


@pytest.fixture
def whole(home: Home) -> Home:
    """A home with something of every kind."""
    for name, content in (
        ("keys/salts.key", b"a key of a later version"),
        ("keys/uploads/0123456789abcdef", SECRET),
        ("restricted/uploads/0123456789abcdef/files/1/0.age", SECRET),
        ("restricted/check-1/rows.parquet", SECRET),
        ("secrets.json", b"{}"),
        ("airflow-fernet.key", b"fernet"),
        ("airflow/airflow.db", SECRET),
        ("logs/portal.log", SECRET),
        ("portal/sign_in/org.secret", b"known to an organisation"),
    ):
        path = home.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in (home.cohorts("other"), Path(home.custodian_database)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE fact (name TEXT)")
            connection.execute("INSERT INTO fact VALUES ('one')")
            connection.commit()
    return home


def texts(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_all_that_cannot_be_made_again_comes_back(whole: Home, tmp_path: Path) -> None:
    before = {
        str(path.relative_to(whole.state)): path.read_bytes()
        for path in whole.state.rglob("*")
        if path.is_file() and path.suffix not in (".db", ".lock")
    }
    make(whole, tmp_path / "copy")
    assert faults(tmp_path / "copy") == []
    lose(whole)
    restore.restore(whole, tmp_path / "copy", NOTHING_SINCE, quiet)
    for name, content in before.items():
        if "registry.git" not in name and not parts.is_left_out(name):
            assert (whole.state / name).read_bytes() == content, name
    assert manifest.differences(whole.release(RELEASE).root) == []
    Ledger(whole.ledger).verify(noted(whole))
    with closing(sqlite3.connect(whole.custodian_database)) as connection:
        assert connection.execute("SELECT name FROM fact").fetchall() == [("one",)]
    assert version_stores.branches(whole.restricted_store) == {"main", RELEASE}
    for path in (whole.released / "extracts").rglob("*"):
        assert path.stat().st_mtime == version_stores.MOMENT.timestamp()
    note = json.loads((whole.state / "restricted" / restore.RESTORATIONS).read_text())
    assert note["nothing_published_since"] is True and note["lost"] == []


def test_what_stays_out_is_in_no_file_of_it(whole: Home, tmp_path: Path) -> None:
    contents = make(whole, tmp_path / "copy")
    assert SECRET not in texts(tmp_path / "copy")
    assert b"a key of a later version" in texts(tmp_path / "copy")
    patterns = {pattern for pattern, _ in contents["left_out"]}
    assert {"keys/uploads", "airflow", "logs"} <= patterns


def test_nobody_else_reads_it(whole: Home, tmp_path: Path) -> None:
    make(whole, tmp_path / "copy")
    for path in (tmp_path / "copy", *(tmp_path / "copy").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_rows_of_uploads_are_in_no_backup(home: Home, tmp_path: Path) -> None:
    """A deleted upload must not be found in a backup: neither its pieces nor ingest's tables."""
    params = home.workspace(RELEASE).params
    text = params.read_text()
    source = next(line for line in text.splitlines() if line.strip().startswith("source:"))
    params.write_text(text.replace(source, "  source: upload:0123456789abcdef"))
    objects = [path for path in home.restricted_remote.rglob("*") if path.is_file()]
    rows = [path for path in objects if b"holdout_patients" in path.read_bytes()]  # ingest's list
    assert len(rows) == 1
    (members,) = [json.loads(path.read_text()) for path in rows]
    digests = {entry["md5"] for entry in members} | {rows[0].parent.name + rows[0].name}
    contents = make(home, tmp_path / "copy")
    copies = {"".join(name.split("/")[-2:]) for name in contents["files"] if "dvc-remote" in name}
    assert not copies & digests
    assert len(copies) > 10 and faults(tmp_path / "copy") == []


def test_charges_between_the_copies_of_stores_and_ledger_are_in_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is copied last of what names its entries, the registers after it."""
    copy_ledger = backup._copy_ledger

    def later(*arguments: object) -> None:
        charge(home, "toy-2", trained=True)
        copy_ledger(*arguments)
        charge(home, "toy-3", trained=True)
        (home.keys / "late.key").write_text("needed by an entry that the copy may hold")

    monkeypatch.setattr(backup, "_copy_ledger", later)
    make(home, tmp_path / "copy")
    assert faults(tmp_path / "copy") == []
    made = check.read(tmp_path / "copy")
    assert made.ledger.reservation("toy-2") and not made.ledger.reservation("toy-3")
    assert (made.home.keys / "late.key").is_file()
    assert not (made.home.chain_heads / "toy-3.json").exists()


def publish(home: Home, release: str) -> None:
    """Its tag, and then its entry, as the stage publish makes them."""
    charge(home, release)
    version_stores.git("tag", "-a", "-m", "published", release, "main", cwd=home.released_store)
    Ledger(home.ledger).commit(release)


@pytest.mark.parametrize("n_meanwhile", [1, 3])
def test_a_release_that_is_published_meanwhile_is_in_it_or_no_backup_is_made(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_meanwhile: int
) -> None:
    """Put back, a ledger that knows more releases than the log refuses every later publish."""
    copy_ledger, names, said = backup._copy_ledger, iter(range(2, 2 + n_meanwhile)), []

    def later(*arguments: object) -> None:
        if number := next(names, None):
            publish(home, f"toy-{number}")
        copy_ledger(*arguments)

    monkeypatch.setattr(backup, "_copy_ledger", later)
    if n_meanwhile == 3:
        with pytest.raises(Refusal, match=r"each of 3 attempts \(toy-4 during the last one"):
            make(home, tmp_path / "copy")
        assert list(tmp_path.glob("*copy*")) == []
        return
    backup.make(home, tmp_path / "copy", "tests", backup.Wishes(), said.append)
    assert any("toy-2: published while this backup was made, so nothing" in line for line in said)
    assert faults(tmp_path / "copy") == []
    lose(home)
    restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    ledger, tags = Ledger(home.ledger), version_stores.tags(home.released_store)
    assert {name for name in ("toy-1", "toy-2") if ledger.state(name) == "released"} == set(tags)


def test_a_home_that_lost_a_release_is_saved_all_the_same(home: Home, tmp_path: Path) -> None:
    said: list[str] = []
    version_stores.git("tag", "-d", RELEASE, cwd=home.released_store)
    backup.make(home, tmp_path / "copy", "tests", backup.Wishes(), said.append)
    assert f"{RELEASE}: published, and not in the released version store" in said
    assert check.read(tmp_path / "copy").ledger.state(RELEASE) == "released"


def cut_the_end(folder: Path) -> None:
    """Of the backup's ledger: the charge of the release is gone, as in an older copy."""
    path = folder / "state" / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entry_is_never_deleted")
        connection.execute("DELETE FROM entry WHERE number > 2")
        connection.commit()
    contents = json.loads((folder / parts.CONTENTS).read_text())
    entries = Ledger(path).entries()
    contents["ledger"] |= {"entries": len(entries), "chain_head": entries[-1].hash}
    contents["files"]["state/ledger.db"]["sha256"] = check.file_sha256(path)
    (folder / parts.CONTENTS).write_text(json.dumps(contents))


def another_key(folder: Path) -> None:
    path = folder / "state" / "keys" / "holdout.key"
    path.write_bytes(bytes(32))
    contents = json.loads((folder / parts.CONTENTS).read_text())
    contents["files"]["state/keys/holdout.key"]["sha256"] = check.file_sha256(path)
    (folder / parts.CONTENTS).write_text(json.dumps(contents))


def a_changed_file(folder: Path) -> None:
    next((folder / "state" / "released" / "extracts").rglob("card.json")).write_text("{}")


def a_lost_file(folder: Path) -> None:
    (folder / "state" / "keys" / "holdout.key").unlink()


def one_more_file(folder: Path) -> None:
    (folder / "state" / "more").write_text("of somebody else")


DAMAGE: dict[Callable[[Path], None], str] = {
    cut_the_end: "its end was cut off",
    another_key: "its holdout is drawn by another permanent key",
    a_changed_file: "was changed",
    a_lost_file: "is missing",
    one_more_file: "none of its files",
}


def test_a_damaged_backup_is_told_and_not_restored(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "copy")
    lose(home)
    for damage, fault in DAMAGE.items():
        copy = tmp_path / damage.__name__
        shutil.copytree(tmp_path / "copy", copy)
        damage(copy)
        with pytest.raises(Refusal, match=f"{fault}.*nothing was restored"):
            restore.restore(home, copy, NOTHING_SINCE, quiet)
    assert not home.state.exists()


def test_a_backup_that_was_broken_off_is_told(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(backup, "_copy_ledger", killed)
        with pytest.raises(Killed):
            make(home, tmp_path / "copies" / "one")
        assert list((tmp_path / "copies").iterdir()) == []
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process is gone at once
        with pytest.raises(Killed):
            make(home, tmp_path / "copies" / "one")
    (partial,) = (tmp_path / "copies").iterdir()
    assert partial.name.startswith(".one.") and partial.name.endswith(files.TEMPORARY)
    with pytest.raises(Refusal, match="broken off before its end"):
        check.read(partial)
    make(home, tmp_path / "copies" / "one")  # clears the partial one away
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["one"]


def test_a_folder_that_holds_something_and_one_in_the_state_are_refused(
    home: Home, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    for folder, why in (
        (tmp_path / "full", "which this command did not write"),
        (home.released / "copy", "which it is to save"),
        (home.runs / "copy", "which it is to save"),
    ):
        with pytest.raises(Refusal, match=why):
            make(home, folder)
    with backup.alone(home), pytest.raises(Refusal, match="is at work here"):
        make(home, tmp_path / "copy")


def test_it_is_put_into_an_empty_home_at_the_same_place_only(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(home, tmp_path / "copy")
    with pytest.raises(Refusal, match=r"holds something.*move it away"):
        restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    lose(home)
    with pytest.raises(Refusal, match="was anything published after this backup"):
        restore.restore(home, tmp_path / "copy", Statement(), quiet)
    elsewhere = Home(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="restore it there"):
        restore.restore(elsewhere, tmp_path / "copy", NOTHING_SINCE, quiet)
    monkeypatch.setenv("SYNDASERA_LEDGER", str(tmp_path / "other.db"))
    with pytest.raises(Refusal, match="leave SYNDASERA_LEDGER out"):
        restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    assert not home.state.exists() and not elsewhere.root.exists()


def test_an_older_copy_is_refused_by_what_was_published_since(home: Home, tmp_path: Path) -> None:
    """The extracts and a clone of the store know the charge that the copy's ledger lacks."""
    outside, clone = tmp_path / "outside", tmp_path / "clone"
    shutil.copytree(home.published, outside)
    version_stores.clone(home.released_store, clone)
    Path(home.ledger).unlink()
    shutil.rmtree(home.released)
    shutil.rmtree(home.chain_heads)
    shutil.rmtree(home.runs)
    home.keys.joinpath("holdout.key").unlink()
    Ledger(home.ledger).open_population(
        POPULATION,
        universe="Invented people",
        nominal_size=300,
        epsilon=6.0,
        delta=1e-6,
        ceiling_epsilon=6.0,
        kind="public",
        reason="tests",
        by="tests",
    )
    make(home, tmp_path / "copy")
    lose(home)
    for place in (outside, clone, clone / ".git"):
        with pytest.raises(Refusal, match=rf"population\(s\) {POPULATION} are closed"):
            restore.restore(home, tmp_path / "copy", Statement(released=place), quiet)
    with pytest.raises(Refusal, match="holds no release"):
        restore.restore(home, tmp_path / "copy", Statement(released=home.root), quiet)
    assert not home.state.exists()
    said = restore.restore(home, tmp_path / "copy", Statement(released=outside, closed=True), quiet)
    assert any("The ledger is closed" in line for line in said)
    with pytest.raises(Refusal, match="is not in the ledger"):
        Ledger(home.ledger).verify(noted(home))


def refused_since(home: Home, tmp_path: Path) -> None:
    """Toy-2 waits in the backup. Was it refused since? What is restored knows it, or nothing is."""
    shutil.copytree(home.published, tmp_path / "outside")
    lose(home)
    for statement in (
        Statement(nothing_since=True),
        Statement(released=tmp_path / "outside"),
        Statement(released=tmp_path / "outside", closed=True),
    ):
        with pytest.raises(Refusal, match=r"was any run refused.* In it wait toy-2, toy-3\."):
            restore.restore(home, tmp_path / "copy", statement, quiet)
    for name, why in (
        (RELEASE, "is published"),
        ("toy-4", "not know toy-4"),
        ("x/toy-4", "not kn"),
        ("toy/", "not"),
    ):
        with pytest.raises(Refusal, match=why):
            statement = Statement(nothing_since=True, refused=(name,))
            restore.restore(home, tmp_path / "copy", statement, quiet)
    assert not home.state.exists()
    statement = Statement(nothing_since=True, refused=("toy-2", f"{POPULATION}/toy-4"))
    said = restore.restore(home, tmp_path / "copy", statement, quiet)
    ledger = Ledger(home.ledger)
    ledger.verify(noted(home))
    states = [ledger.state(name) for name in ("toy-2", "toy-3", "toy-4")]
    assert states == ["abandoned", "reserved", "declined"]
    assert not home.runs.is_dir() or not list(home.runs.iterdir())
    assert not any("toy-2" in line for line in said)
    note = json.loads((home.state / "restricted" / restore.RESTORATIONS).read_text())
    assert note["refused_since"] == ["toy-2", f"{POPULATION}/toy-4"]
    assert note["nothing_refused_since"] is False


def test_an_open_run_comes_back_if_its_model_is_noted(home: Home, tmp_path: Path) -> None:
    """One whose training is not finished does not: an older copy of it could draw noise again."""
    for name in ("toy-2", "toy-3"):
        run = home.workspace(name)
        shutil.copytree(home.workspace(RELEASE).root, run.root)
        run.restricted.reservation.unlink()
        run.restricted.checkpoints.model.mkdir(parents=True, exist_ok=True)
        (run.restricted.checkpoints.model / "weights").write_text("noisy")
        (run.restricted.data / "patients.parquet").parent.mkdir(parents=True, exist_ok=True)
        (run.restricted.data / "patients.parquet").write_text("rows")
        version_stores.git("branch", name, RELEASE, cwd=home.restricted_store)
        charge(home, name, trained=name == "toy-2")
    contents = make(home, tmp_path / "copy")
    assert contents["open_runs"] == ["toy-2"]
    refused_since(home, tmp_path)
    lose(home)
    said = restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    run = home.workspace("toy-2")
    assert (run.restricted.checkpoints.model / "weights").read_text() == "noisy"
    assert run.params.is_file() and not run.restricted.data.exists()
    origin = version_stores.git("remote", "get-url", "origin", cwd=run.root)
    assert origin == str(home.restricted_store.resolve())
    assert [path.name for path in home.runs.iterdir()] == ["toy-2"]
    assert any("Run toy-3 is charged and cannot go on" in line for line in said)


def test_a_backup_names_no_folder_outside_of_the_runs(home: Home, tmp_path: Path) -> None:
    make(home, tmp_path / "copy")
    path = tmp_path / "copy" / parts.CONTENTS
    contents = json.loads(path.read_text())
    for key, name in (("open_runs", "../toy-2"), ("files", "../ledger.db")):
        path.write_text(json.dumps({**contents, key: {name: {}}}))
        with pytest.raises(Refusal, match="no backup of ours"):
            check.read(tmp_path / "copy")


def test_a_ledger_elsewhere_is_saved_and_comes_back(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one in PostgreSQL: entry by entry. One that outlived the loss stays as it is."""
    monkeypatch.setenv("SYNDASERA_LEDGER", str(tmp_path / "other.db"))
    Ledger(home.ledger_file).copy_to(Ledger(home.ledger))
    home.ledger_file.unlink()
    make(home, tmp_path / "copy")
    assert faults(tmp_path / "copy") == []
    lose(home)
    charge(home, "toy-2")  # the database goes on
    n_entries = len(Ledger(home.ledger).entries())
    lose(home)
    restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    assert len(Ledger(home.ledger).entries()) == n_entries
    (tmp_path / "other.db").unlink()
    lose(home)
    restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    assert len(Ledger(home.ledger).entries()) == n_entries - 1
    (tmp_path / "other.db").unlink()
    lose(home)
    Ledger(home.ledger).open_population(
        POPULATION,
        universe="Others",
        nominal_size=300,
        epsilon=6.0,
        delta=1e-6,
        ceiling_epsilon=6.0,
        kind="public",
        reason="tests",
        by="tests",
    )
    with pytest.raises(Refusal, match="holds another ledger"):
        restore.restore(home, tmp_path / "copy", NOTHING_SINCE, quiet)
    assert not home.state.exists()


def test_a_refusal_is_entered_into_a_ledger_elsewhere(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of before the move lies in the state still, and is closed."""
    charge(home, "toy-2", trained=True)
    Ledger(home.ledger_file).move_to(Ledger(tmp_path / "other.db"), by="tests")
    monkeypatch.setenv("SYNDASERA_LEDGER", str(tmp_path / "other.db"))
    make(home, tmp_path / "copy")
    lose(home)
    (tmp_path / "other.db").unlink()
    statement = Statement(nothing_since=True, refused=("toy-2",))
    restore.restore(home, tmp_path / "copy", statement, quiet)
    assert home.ledger == str(tmp_path / "other.db")
    assert Ledger(home.ledger).state("toy-2") == "abandoned"
    Ledger(home.ledger).verify(noted(home))


def test_an_encrypted_backup_tells_nothing_and_comes_back(home: Home, tmp_path: Path) -> None:
    identity, place = x25519.Identity.generate(), tmp_path / "monday.age"
    secret, other = tmp_path / "key.txt", tmp_path / "other.txt"
    secret.write_text(f"# of the registry\n{identity}\n")
    other.write_text(f"{x25519.Identity.generate()}\n")
    make(home, tmp_path / "plain")
    sealed.seal(tmp_path / "plain", place, sealed.recipient_of(str(identity.to_public())))
    assert place.read_bytes().startswith(b"age-encryption.org")
    assert not (tmp_path / "plain.tar").exists()
    for key, why in ((None, "is encrypted"), (other, "cannot be read with other.txt")):
        with pytest.raises(Refusal, match=why), sealed.unsealed(place, key):
            pass
    with sealed.unsealed(place, secret, tmp_path) as folder:
        assert faults(folder) == []
    assert not list(tmp_path.glob(".backup-*"))
    with pytest.raises(Refusal, match="is no public key"):
        sealed.recipient_of(str(identity))
