"""Releases that are published at the same time all become visible, one commit after the other."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.released import manifest, publish
from pipeline.runs import release_commits, version_stores

DATASETS = ("adult", "adult", "uci_heart", "credit_default")


def made_release(folder: Path, number: int) -> Release:
    release = Release(folder)
    files.write_json(release.model / "model.json", {"number": number})
    manifest.write(release.root, {"release_id": f"release-{number}"})
    return release


def test_four_at_once_all_succeed(home: Home, tmp_path: Path) -> None:
    version_stores.ensure(home)

    def publish_one(number: int) -> None:
        release = made_release(tmp_path / str(number), number)
        publish._tag(home, release, f"release-{number}", DATASETS[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish_one, range(4)))
    store = home.released_store
    subjects = version_stores.git("log", "--format=%s", "main", cwd=store).splitlines()
    assert sorted(subjects[:-1]) == [f"Release release-{number}" for number in range(4)]
    for number, dataset in enumerate(DATASETS):
        name = f"release-{number}:{dataset}/manifest.json"
        assert f'"release-{number}"' in version_stores.git("show", name, cwd=store)
        moment = version_stores.git("log", "-1", "--format=%at %ct", f"release-{number}", cwd=store)
        assert moment == " ".join([str(int(version_stores.MOMENT.timestamp()))] * 2)
    tree = version_stores.git("ls-tree", "-r", "--name-only", "main", cwd=store).splitlines()
    assert {path.partition("/")[0] for path in tree if "/" in path} >= set(DATASETS)


@pytest.fixture
def tree(home: Home, tmp_path: Path) -> Path:
    """A clone with a release to push, which git alone tracks."""
    version_stores.ensure(home)
    made = tmp_path / "tree"
    version_stores.clone(home.released_store, made)
    files.write_text(made / "adult" / "manifest.json", "{}")
    return made


def push(tree: Path, tag: str = "release-1") -> None:
    release_commits.push_release(tree, "adult", message="m", tag=tag, tag_message="t")


def test_a_store_that_takes_nothing_is_said_after_a_few_tries(
    home: Home, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = home.released_store / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.setattr(release_commits, "TRIES", 3)
    monkeypatch.setattr(release_commits, "PAUSE_SECONDS", 0)
    with pytest.raises(RuntimeError, match="git push"):
        push(tree)
    assert not version_stores.is_tagged(home.released_store, "release-1")


def test_an_answer_that_was_lost_is_no_second_release(
    home: Home, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str, **options: object) -> str:
        answer = version_stores.git(*words, **options)
        if words[0] == "push":
            raise RuntimeError("the connection broke")
        return answer

    monkeypatch.setattr(release_commits, "git", git)
    push(tree)
    assert version_stores.is_tagged(home.released_store, "release-1")


@pytest.mark.parametrize("other", ["adult", "uci_heart"])
def test_what_the_faster_one_published_stays(home: Home, tree: Path, tmp_path, other) -> None:
    faster = tmp_path / "faster"
    version_stores.clone(home.released_store, faster)
    for name in ("manifest.json", "only-there.json"):
        files.write_text(faster / other / name, "faster")
    version_stores.commit_all(faster, "Release release-0")
    version_stores.git("push", "-q", "origin", "main", cwd=faster)
    push(tree)
    store = home.released_store
    names = version_stores.git("ls-tree", "-r", "--name-only", "release-1", cwd=store).splitlines()
    assert ("adult/only-there.json" in names) is False
    assert ("uci_heart/only-there.json" in names) is (other == "uci_heart")
    assert version_stores.git("show", "release-1:adult/manifest.json", cwd=store) == "{}"


def test_what_git_advises_is_not_the_reason(tree: Path, home: Home) -> None:
    """git ends what it says of a push that is refused with hints for people."""
    other = tree.with_name("other")
    version_stores.clone(home.released_store, other)
    for clone, name in ((tree, "a"), (other, "b")):
        files.write_text(clone / name, name)
        version_stores.commit_all(clone, name)
    version_stores.git("push", "-q", "origin", "main", cwd=other)
    with pytest.raises(RuntimeError, match="failed to push some refs"):
        version_stores.git("push", "origin", "main", cwd=tree)
    told = subprocess.run(
        ["git", "push", "origin", "main"], cwd=tree, capture_output=True, text=True, check=False
    ).stderr
    assert "hint:" in told
