"""Releases that are published at the same time all become visible, each after the one before."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import transparency_cases as cases
from transparency_cases import Asked

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.environment import at_home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.released import manifest, publish, released_log
from pipeline.runs import release_commits, version_stores

FOUR = tuple(Asked(f"release-{number}", sigma=9.0 + number) for number in range(4))


def run(home: Home, asked: Asked) -> None:
    """The stage publish, in a thread beside others."""
    workspace = Workspace(home.runs / asked.release_id)
    files.write_json(workspace.restricted.approval, {"approved": True})
    cases.write_model(workspace.released.model, asked)
    publish.run(workspace, cases.settings_of(asked), cases.schema_of(asked))


def test_four_at_once_all_succeed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    cases.open_populations(home)
    for one in FOUR:
        folder = Workspace(home.runs / one.release_id).released.release.model
        cases.charge(Ledger(home.ledger), one, cases.write_model(folder, one))
        shutil.rmtree(folder)
    asked_by_name = {one.release_id: one for one in FOUR}

    def assemble(workspace: Workspace, *_: Any) -> None:
        asked = asked_by_name[workspace.root.name]
        cases.put_together(home, workspace.released.release, asked, _[-1])

    with (
        at_home(home.root),
        patch.object(publish, "_assemble", assemble),
        patch.object(publish.tracking, "publish_model", lambda *_: None),
        patch.object(version_stores, "dvc", lambda *_, cwd: None),
        ThreadPoolExecutor(4) as pool,
    ):
        version_stores.ensure(home)
        list(pool.map(lambda one: run(home, one), FOUR))
    log = released_log.read(home.released_store)
    assert sorted(line["release_id"] for line in log[1:]) == sorted(asked_by_name)
    for name in asked_by_name:
        release = home.release(name)
        assert cases.faults(release.root, store=home.released_store) == {}
        message = version_stores.tag_messages(home.released_store)[name]
        assert manifest.sha256(release.manifest) in message
        assert Ledger(home.ledger).state(name) == "released"
    store = home.released_store
    subjects = version_stores.git("log", "--format=%s", "main", cwd=store).splitlines()
    assert sorted(subjects[:-1]) == [f"Release {name}" for name in sorted(asked_by_name)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    home = Home(tmp_path / "home")
    version_stores.ensure(home)
    return home.released_store


@pytest.fixture
def tree(store: Path, tmp_path: Path) -> Path:
    """A clone with a release to push, which git alone tracks."""
    made = tmp_path / "tree"
    version_stores.clone(store, made)
    files.write_text(made / "adult" / "manifest.json", "{}")
    return made


def push(tree: Path) -> None:
    release_commits.push_release(tree, message="m", tag="release-1", tag_message="t")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_commits, "PAUSE_SECONDS", 0)


@pytest.mark.usefixtures("at_once")
def test_a_store_that_takes_nothing_is_said_after_a_few_tries(store: Path, tree: Path) -> None:
    hook = store / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RuntimeError, match="git push"):
        push(tree)
    assert not version_stores.is_tagged(store, "release-1")


def test_an_answer_that_was_lost_is_no_fault(
    store: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = version_stores.git

    def git(*words: str, **options: Any) -> str:
        answer = unbroken(*words, **options)
        if words[0] == "push":
            raise RuntimeError("the connection broke")
        return answer

    monkeypatch.setattr(version_stores, "git", git)
    push(tree)
    assert version_stores.is_tagged(store, "release-1")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", [Refusal, RuntimeError])
def test_it_goes_on_as_long_as_others_are_faster(kind: type[Exception]) -> None:
    heads = iter("abcc")  # before and after: another release, then a fault of its own
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise kind("no")

    with pytest.raises(kind):
        release_commits.in_turn(attempt, lambda: next(heads))
    assert len(attempts) == 2


@pytest.mark.usefixtures("at_once")
def test_it_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_commits, "TRIES", 3)
    numbers, attempts = iter(range(100)), []

    def attempt() -> None:
        attempts.append(1)
        raise RuntimeError("git push: rejected")

    with pytest.raises(RuntimeError, match="rejected"):
        release_commits.in_turn(attempt, lambda: str(next(numbers)))
    assert len(attempts) == 3


def test_what_git_advises_is_not_the_reason(store: Path, tree: Path) -> None:
    """git ends what it says of a push that is refused with hints for people."""
    other = tree.with_name("other")
    version_stores.clone(store, other)
    for clone, name in ((tree, "a"), (other, "b")):
        files.write_text(clone / name, name)
        version_stores.commit_all(clone, name)
    version_stores.git("push", "-q", "origin", "main", cwd=other)
    with pytest.raises(RuntimeError, match="failed to push some refs"):
        version_stores.git("push", "origin", "main", cwd=tree)
    words = subprocess.run(
        ["git", "push", "origin", "main"], cwd=tree, capture_output=True, text=True, check=False
    ).stderr
    assert "hint:" in words
