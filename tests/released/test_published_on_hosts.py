"""Releases that several hosts publish: one transparency log, and what is tagged is the release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from host_cases import database as database
from host_cases import deploy, shared_places
from transparency_cases import (
    Asked,
    charge,
    faults,
    open_populations,
    release,
    run_publish,
    write_model,
)

from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.released import manifest, released_log
from pipeline.runs import version_stores
from pipeline.runs.programs import git

FIRST, SECOND = Asked("first-1"), Asked("second-1", sigma=9.0)


class Killed(BaseException):
    """As a signal: nothing catches it."""


@pytest.fixture
def both(tmp_path: Path, database: str) -> tuple[Home, Home]:
    places = shared_places(tmp_path / "elsewhere", database)
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    for home in (one, other):
        deploy(home.root, places)
    open_populations(one)
    other.state.mkdir(parents=True)
    return one, other


def test_the_log_grows_by_each_host_and_a_lost_host_leaves_its_release_to_another(
    both: tuple[Home, Home],
) -> None:
    one, other = both
    release(one, FIRST)
    model = write_model(one.runs / "second-1" / "released" / "release" / "model", SECOND)
    charge(Ledger(one.ledger), SECOND, model)
    shutil.rmtree(model)

    def kill(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        run_publish(one, SECOND, _bring_back=kill)  # after the tag
    run_publish(other, SECOND)
    log = released_log.read(one.released_store)
    assert [line.get("release_id") for line in log] == [None, "first-1", "second-1"]
    assert released_log.read(other.released_store) == log
    here = other.release("second-1")
    assert faults(here.root, store=other.released_store) == {}
    message = version_stores.tag_messages(one.released_store)["second-1"]
    assert manifest.sha256(here.manifest) in message
    assert Ledger(other.ledger).state("second-1") == "released"


def test_a_log_that_the_shared_store_lost_is_not_begun_anew(
    both: tuple[Home, Home], tmp_path: Path
) -> None:
    one, other = both
    release(one, FIRST)
    tree = tmp_path / "tree"
    version_stores.clone(one.released_store, tree)
    (tree / released_log.LOG).unlink()
    version_stores.commit_all(tree, "no log", has_clock=False)
    git("push", "-q", "origin", "main", cwd=tree)
    with pytest.raises(Refusal, match="has no transparency log"):
        release(other, SECOND)  # this host has no copy of the first one
    assert not version_stores.is_tagged(other.released_store, "second-1")


def test_a_clone_that_somebody_keeps_is_never_brought_up_to_date(
    both: tuple[Home, Home], tmp_path: Path
) -> None:
    one, _ = both
    release(one, FIRST)
    kept = tmp_path / "kept.git"
    git(
        "clone",
        "-q",
        "--bare",
        str(tmp_path / "elsewhere" / "released.git"),
        str(kept),
        cwd=tmp_path,
    )
    release(one, SECOND)
    assert version_stores.tags(kept) == ["first-1"]
    assert len(released_log.read(kept)) == 2 and len(released_log.read(one.released_store)) == 3
