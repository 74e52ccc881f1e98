"""A run that goes from one home to another: git, DVC and the checkpoint store bring it there."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from host_cases import database as database
from host_cases import deploy, shared_places

from pipeline import files
from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal, Unavailable
from pipeline.released.privacy_facts import published_chain_heads
from pipeline.runs import chain_heads, travel, version_stores, workspace
from pipeline.runs.programs import dvc, git
from pipeline.runs.workspace import Request


@pytest.fixture
def both(home: Home, tmp_path: Path, database: str) -> tuple[Home, Home]:
    places = shared_places(tmp_path / "elsewhere", database)
    other = Home(tmp_path / "other")
    for one in (home, other):
        deploy(one.root, places)
        one.state.mkdir(exist_ok=True)
    return home, other


def request(source: Path, **changes: object) -> Request:
    asked = {"release_id": "adult-1", "dataset": "adult", "source": str(source), "label": "first"}
    return Request(**asked | changes)  # type: ignore[arg-type]


def ingested(home: Home) -> None:
    """What the stage ingest leaves, without its work."""
    made = home.workspace("adult-1")
    files.write_text(made.restricted.patients, "rows\n")
    dvc("commit", "--quiet", "--force", "ingest", cwd=made.root)
    files.append_line(made.restricted.stages, '{"stage": "ingest"}')


def test_a_run_comes_with_its_settings_its_state_and_what_a_stage_reads(
    both: tuple[Home, Home], source: Path
) -> None:
    one, other = both
    made = workspace.make(one, request(source, owner="run 1"))
    with travel.visiting(one, "adult-1", "ingest"):
        ingested(one)
        workspace.record(one, made, "ingest")
    with travel.visiting(other, "adult-1", "validate") as there:
        assert there.root == other.runs / "adult-1"
        assert there.params.read_bytes() == made.params.read_bytes()
        assert there.restricted.patients.read_text() == "rows\n"
        assert files.read_json(there.restricted.run)["owner"] == "run 1"
        assert there.restricted.stages.read_bytes() == made.restricted.stages.read_bytes()
        files.append_line(there.restricted.answers, "{}")
    with travel.visiting(one, "adult-1", "approve") as back:
        assert back.restricted.answers.read_text() == "{}\n"
    # a host that was left behind pushes nothing over what came after it
    workspace.record(other, there, "confirm")
    files.write_text(made.root / "note", "late")
    with pytest.raises(RuntimeError, match="git push"):
        files.write_text(there.root / "note", "first")
        travel.record(other, there, "confirm")
        travel.record(one, made, "confirm")


def test_a_host_that_lost_its_lock_overwrites_no_newer_answer(
    both: tuple[Home, Home], source: Path, database: str
) -> None:
    one, other = both
    workspace.make(one, request(source))

    def answer(host: Home, text: str) -> None:
        files.append_line(host.workspace("adult-1").restricted.answers, text)

    with pytest.raises(Unavailable, match="was lost"), travel.visiting(one, "adult-1", "approve"):
        answer(one, "older")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        with travel.visiting(other, "adult-1", "approve"):
            answer(other, "newer")
    with travel.visiting(one, "adult-1", "approve") as back:
        assert back.restricted.answers.read_text() == "newer\n"


def test_the_same_request_is_found_again_on_another_host_and_another_is_refused(
    both: tuple[Home, Home], source: Path
) -> None:
    one, other = both
    workspace.make(one, request(source))
    assert workspace.make(other, request(source)).root == other.runs / "adult-1"
    with pytest.raises(Refusal, match="used before with other settings"):
        workspace.make(other, request(source, epsilon=0.5))
    with (
        pytest.raises(Refusal, match="no run adult-2 was prepared"),
        travel.visiting(other, "adult-2", "ingest"),
    ):
        pass


def test_cards_and_notes_of_other_hosts_tell_whether_the_ledger_is_whole(
    both: tuple[Home, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = both
    version_stores.ensure(one)
    tree = tmp_path / "tree"
    version_stores.clone(one.released_store, tree)
    files.write_json(tree / "adult" / "manifest.json", {"release_id": "adult-1"})
    files.write_json(tree / "adult" / "card.json", {"privacy": {"chain_head": "a" * 64}})
    version_stores.commit_all(tree, "Release adult-1", has_clock=False)
    git("tag", "-a", "adult-1", "-m", "x", cwd=tree)
    git("push", "-q", "--atomic", "origin", "main", "adult-1", cwd=tree)
    assert published_chain_heads(other) == {"the card of adult-1": "a" * 64}
    monkeypatch.setenv(HOME_VARIABLE, str(one.root))

    class Entry:
        hash, number = "b" * 64, 7

    monkeypatch.setattr(chain_heads.Ledger, "entries", lambda _: [Entry()])
    chain_heads.note(one, "adult-1")
    assert chain_heads.notes(other) == {"the shared note of adult-1.json": "b" * 64}


def test_a_store_of_this_home_is_not_taken_for_a_mirror(
    home: Home, tmp_path: Path, database: str
) -> None:
    version_stores.ensure(home)
    deploy(home.root, shared_places(tmp_path / "elsewhere", database))
    with pytest.raises(Refusal, match="is no mirror of"):
        version_stores.ensure(home)
