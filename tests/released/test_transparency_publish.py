"""The line of the log comes with the release: once, whatever stops the stage and wherever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from transparency_cases import (
    STORY,
    Asked,
    charge,
    entries_of,
    faults,
    forge_ledger,
    open_populations,
    release,
    run_publish,
    told,
    write_model,
)

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli.parser import main
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.released import log_line, manifest, publish, released_log, verify
from pipeline.released.privacy_facts import privacy_facts
from pipeline.runs import version_stores
from pipeline.transparency import making

FIRST, SECOND = Asked("first-1"), Asked("second-1", sigma=9.0)


class Killed(BaseException):
    """As a signal: nothing catches it."""


def kill(*_: object, **__: object) -> None:
    raise Killed


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Home:
    """One release is published, and another one charged and trained."""
    home = told(Home(tmp_path_factory.mktemp("original") / "home"), (FIRST,))
    model = write_model(home.runs / "second-1" / "released" / "release" / "model", SECOND)
    charge(Ledger(home.ledger), SECOND, model)
    shutil.rmtree(model)
    return home


@pytest.fixture
def begun(original, tmp_path) -> Home:
    shutil.copytree(original.root, tmp_path / "home")
    return Home(tmp_path / "home")


def is_published_once(home: Home, *asked: Asked) -> None:
    log = released_log.read(home.released_store)
    assert [line.get("release_id") for line in log] == [None, *(one.release_id for one in asked)]
    for one in asked:
        folder = home.release(one.release_id)
        assert faults(folder.root, store=home.released_store) == {}
        message = version_stores.tag_messages(home.released_store)[one.release_id]
        assert manifest.sha256(folder.manifest) in message
        assert Ledger(home.ledger).state(one.release_id) == "released"


def before(name: str) -> dict[str, object]:
    """A stop before a step of the stage."""
    return {name: kill}


def after(name: str) -> dict[str, object]:
    """A stop just after it."""
    step = getattr(publish, name)

    def run_and_stop(*arguments: object, **options: object) -> None:
        step(*arguments, **options)
        raise Killed

    return {name: run_and_stop}


@pytest.mark.parametrize(
    "stop",
    [before("_tag"), before("_bring_back"), after("_bring_back"), before("_copy"), after("_copy")],
    ids=["before the tag", "after the push", "after the files came back", "no copy", "no entry"],
)
def test_a_stage_that_was_stopped_goes_on_and_makes_one_line(begun, stop):
    with pytest.raises(Killed):
        run_publish(begun, SECOND, **stop)
    run_publish(begun, SECOND)
    is_published_once(begun, FIRST, SECOND)
    run_publish(begun, SECOND)
    is_published_once(begun, FIRST, SECOND)


@pytest.mark.parametrize("name", ["transparency.json", "manifest.json"])
def test_a_stop_between_the_two_files_that_come_back(begun, monkeypatch, name):
    copy = shutil.copyfile

    def stop(source: Path, target: Path, **options: bool) -> None:
        if Path(source).name == name and "tree" in str(source):
            raise Killed
        copy(source, target, **options)

    with monkeypatch.context() as planted, pytest.raises(Killed):
        planted.setattr(publish.shutil, "copyfile", stop)
        run_publish(begun, SECOND)
    run_publish(begun, SECOND)
    is_published_once(begun, FIRST, SECOND)


def test_a_stop_before_the_push_leaves_the_log_as_it_was(begun, monkeypatch):
    log, git = released_log.read(begun.released_store), version_stores.git

    def stop(*arguments: str, **options: object) -> str:
        if arguments[0] == "push":
            raise Killed
        return git(*arguments, **options)

    with monkeypatch.context() as planted, pytest.raises(Killed):
        planted.setattr(version_stores, "git", stop)
        run_publish(begun, SECOND)
    assert released_log.read(begun.released_store) == log
    run_publish(begun, SECOND)
    is_published_once(begun, FIRST, SECOND)


def test_of_two_at_once_the_later_one_is_put_together_again(begun, monkeypatch):
    """The other release appears between this one's clone and its push."""
    third = Asked("third-1", sigma=11.0)
    model = write_model(begun.runs / "third-1" / "released" / "release" / "model", third)
    charge(Ledger(begun.ledger), third, model)
    shutil.rmtree(model)
    add_line = log_line.add_line

    def add_beside(*arguments: object) -> None:
        add_line(*arguments)
        with monkeypatch.context() as planted:
            planted.setattr(log_line, "add_line", add_line)
            run_publish(begun, third)

    with monkeypatch.context() as planted:
        planted.setattr(log_line, "add_line", add_beside)
        run_publish(begun, SECOND)
    is_published_once(begun, FIRST, third, SECOND)
    cards = [files.read_json(begun.release(one).card)["privacy"] for one in ("third-1", "second-1")]
    # the third was charged last, so that its card counts the second, too
    assert [(card["charge"], card["releases_charged"]) for card in cards] == [(3, 3), (2, 3)]


def test_a_release_that_appears_before_the_clone_makes_this_one_begin_anew(begun):
    tag = publish._tag
    names = []

    def outdated(*arguments: object) -> None:
        names.append("second-1")
        if len(names) == 1:
            with patch.object(publish, "_tag", tag):
                release(begun, Asked("other-1", population="others"))
        tag(*arguments)

    run_publish(begun, SECOND, _tag=outdated)
    assert len(names) == 2
    is_published_once(begun, FIRST, Asked("other-1"), SECOND)


def test_nothing_is_published_from_a_ledger_that_the_log_was_not_made_from(begun):
    entries = entries_of(begun)
    token = next(place for place, one in enumerate(entries) if one.kind == "opened")
    changed = json.loads(entries[token].content) | {"reason": "another reason"}
    fields = {**vars(entries[token]), "content": json.dumps(changed, sort_keys=True)}
    begun.ledger_file.unlink()
    forge_ledger(begun, [*entries[:token], type(entries[token])(**fields), *entries[token + 1 :]])
    with pytest.raises(Refusal, match="the ledger is not the one from which entry 1") as refusal:
        run_publish(begun, SECOND)
    assert "Nothing was published" in str(refusal.value)
    assert not version_stores.is_tagged(begun.released_store, "second-1")


def test_the_log_begins_with_what_was_published_before_it(tmp_path):
    home = Home(tmp_path / "home")
    open_populations(home)
    version_stores.ensure(home)
    tree = tmp_path / "tree"
    version_stores.clone(home.released_store, tree)
    older = home.release("older-1")
    charge(Ledger(home.ledger), Asked("older-1"))
    Ledger(home.ledger).commit("older-1")
    card = {"release_id": "older-1", "drawn_from": None, "privacy": {"ledger_entry": 3}}
    files.write_json(older.card, card)
    manifest.write(older.root, {"release_id": "older-1", "drawn_from": None})
    message = f"manifest sha256 {manifest.sha256(older.manifest)}"
    version_stores.git("tag", "-a", "older-1", "-m", message, cwd=tree)
    version_stores.git("push", "-q", "origin", "older-1", cwd=tree)
    assert faults(older.root, store=home.released_store) == {}
    release(home, FIRST)
    log = released_log.read(home.released_store)
    assert log[0]["older"] == [
        {"release_id": "older-1", "manifest": manifest.sha256(older.manifest)}
    ]
    assert [one["charge"] for one in log[1]["charges"]] == [1, 2]  # the older one's charge counts
    first = home.release("first-1").root
    assert faults(first, store=home.released_store, older=older.root) == {}
    answer = verify._charge(home.released_store, older)
    assert "published before there was a log, whose first entry names it" in next(answer)
    assert verify.CHARGE in faults(older.root)  # nobody can tell without the log
    manifest.write(older.root, {"release_id": "older-1", "drawn_from": None, "seed": 2})
    assert verify.CHARGE in faults(older.root, store=home.released_store)
    assert verify.GROWTH in faults(first, older=older.root)


def test_a_draw_tells_nothing_of_a_run_that_goes_on(begun):
    """A card with a new head, or a new balance, would tell when training began, or ended."""
    log = released_log.read(begun.released_store)
    told_before = privacy_facts(Ledger(begun.ledger), "first-1", log)
    charge(Ledger(begun.ledger), Asked("third-1"))
    Ledger(begun.ledger).decline("fourth-1", "people", "a custodian")
    assert privacy_facts(Ledger(begun.ledger), "first-1", log) == told_before
    assert told_before["releases_charged"] == 1


def test_an_outsider_asks_by_a_folder_without_a_home(tmp_path, monkeypatch, capsys):
    home = told(Home(tmp_path / "home"), STORY[:2])
    copies = tmp_path / "copies"
    shutil.copytree(home.published, copies)
    shutil.copytree(home.released_store, tmp_path / "store.git")
    shutil.rmtree(home.root)
    monkeypatch.setenv("SYNDASERA_HOME", str(tmp_path / "nothing"))
    for name in ("_columns", "_redraw"):  # these small releases hold no extract
        monkeypatch.setattr(verify, name, lambda _: iter(()))
    older, folder = copies / "first-1", copies / "elsewhere-1"
    store = ["--store", str(tmp_path / "store.git")]
    assert main(["verify", str(folder), "--older", str(older), *store]) == 0
    said = capsys.readouterr().out
    assert "NO" not in said and said.count("  yes  ") == 8 and "is sound" in said
    assert main(["verify", str(folder), "--older", str(older / "transparency.json")]) == 0
    assert main(["verify", str(older), "--older", str(folder)]) == 1
    assert "entries were removed, or this is the older one" in capsys.readouterr().out
    for path in (tmp_path / "none", older / "card.json"):
        assert main(["verify", str(folder), "--older", str(path)]) == 2
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["verify", "first-1", *store]) == 2
    assert not (tmp_path / "nothing").exists()


def test_a_store_that_lost_its_log_publishes_nothing(begun):
    other = begun.root / "other.git"
    begun.released_store.rename(other)
    with pytest.raises(Refusal, match="restore the store from its backup"):
        run_publish(begun, SECOND)
    other.rename(begun.released_store)
    run_publish(begun, SECOND)
    is_published_once(begun, FIRST, SECOND)


def test_an_old_copy_of_the_store_publishes_nothing(begun):
    old = begun.root / "old.git"
    shutil.copytree(begun.released_store, old)
    run_publish(begun, SECOND)
    shutil.rmtree(begun.released_store)
    old.rename(begun.released_store)
    third = Asked("third-1", sigma=11.0)
    with pytest.raises(Refusal, match="second-1 was published by the ledger, and the transparency"):
        release(begun, third)
    assert not version_stores.is_tagged(begun.released_store, "third-1")


def test_another_processor_goes_on_with_the_log(begun: Home, monkeypatch) -> None:
    """Whose last digits of a divergence differ: numpy's exponential depends on the processor."""
    rdp = making.renyi.rdp
    monkeypatch.setattr(making.renyi, "rdp", lambda *event: rdp(*event) * (1 + 1e-14))
    assert making.disagreement(Ledger(begun.ledger), released_log.read(begun.released_store)) == ""
    run_publish(begun, SECOND)
    monkeypatch.undo()
    is_published_once(begun, FIRST, SECOND)
    assert making.disagreement(Ledger(begun.ledger), released_log.read(begun.released_store)) == ""
    monkeypatch.setattr(making.renyi, "rdp", lambda *event: rdp(*event) * (1 + 1e-6))
    log = released_log.read(begun.released_store)
    assert "rdp" in making.disagreement(Ledger(begun.ledger), log)
