"""Workspaces: made whole or not at all, found again by the same request, refused for another."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from pipeline import files, params
from pipeline.cli.ledger import ensure_population
from pipeline.ledger import Ledger
from pipeline.runs import sources, version_stores, workspace
from pipeline.runs.declarations import declaration_path
from pipeline.runs.workspace import Request
from pipeline.schema.reader import read_schema


def request(source_path, **changes):
    asked = {
        "release_id": "adult-1",
        "dataset": "adult",
        "source": str(source_path),
        "label": "first",
        "epsilon": 1.0,
        "rows": 50,
    }
    return Request(**asked | changes)


def test_a_workspace_holds_the_stages_the_settings_and_the_declaration(home, source):
    made = workspace.make(home, request(source))
    settings = params.load(made.params)
    assert (settings.release.id, settings.release.source_label, settings.release.rows) == (
        "adult-1",
        "first",
        50,
    )
    assert settings.release.source == str(source) and settings.privacy.epsilon == 1.0
    assert read_schema(made.dataset).dataset == "adult"
    assert made.dvc_yaml.is_file()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=made.root, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"dvc.yaml", "params.yaml", "dataset.yaml", ".dvc/config"} <= set(tracked)
    assert not any(path.startswith(("restricted/", "released/")) for path in tracked)


def test_the_data_id_is_random(home, source):
    ids = {
        params.load(workspace.make(home, request(source, release_id=name)).params).release.data_id
        for name in ("one-1", "two-2")
    }
    assert len(ids) == 2


def test_the_same_request_finds_the_workspace_again(home, source):
    first = params.load(workspace.make(home, request(source)).params)
    assert params.load(workspace.make(home, request(source)).params) == first


def test_another_setting_under_the_same_id_is_refused_and_named(home, source):
    made = workspace.make(home, request(source))
    before = made.params.read_text()
    with pytest.raises(
        ValueError,
        match=r"adult-1 was used before with other settings \(privacy.epsilon: 1.0 then, 2.0 now\)",
    ):
        workspace.make(home, request(source, epsilon=2.0))
    assert made.params.read_text() == before


def test_a_published_id_is_refused_except_to_the_run_that_published_it(home, source):
    made = workspace.make(home, request(source, owner="run 1"))
    files.write_text(made.restricted.complete, "yes")
    version_stores.git("tag", "adult-1", "main", cwd=home.released_store)
    assert workspace.make(home, request(source, owner="run 1")).root.is_dir()
    for owner in ("run 2", None):
        with pytest.raises(ValueError, match="adult-1 is published already"):
            workspace.make(home, request(source, owner=owner))


def test_a_crash_after_the_tag_is_finished_by_the_last_stage_alone(home, source):
    made = workspace.make(home, request(source))
    assert workspace.unfinished_stages(home, made)[0] == "ingest"
    version_stores.git("tag", "adult-1", "main", cwd=home.released_store)
    assert workspace.unfinished_stages(home, workspace.make(home, request(source))) == ["publish"]


def test_a_published_or_charged_id_without_workspace_is_refused(home, source):
    from pipeline.dp.events import DiscreteGaussianDpEvent

    version_stores.ensure(home)
    version_stores.git("tag", "adult-1", "main", cwd=home.released_store)
    with pytest.raises(ValueError, match="published already"):
        workspace.make(home, request(source))
    ensure_population(home, read_schema(declaration_path("adult")))
    Ledger(home.ledger).reserve(
        "adult-2", "adult", DiscreteGaussianDpEvent(100.0), by="test", source_label="first"
    )
    with pytest.raises(ValueError, match="adult-2 is in the ledger already"):
        workspace.make(home, request(source, release_id="adult-2"))
    assert not home.runs.exists() or not list(home.runs.iterdir())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset": "adlut"}, "no dataset 'adlut' in datasets/; there are adult, "),
        ({"release_id": "A!"}, "release.id 'A!'"),
        ({"epsilon": 0.0}, "privacy.epsilon must be positive, is 0.0"),
        ({"rows": 0}, "release.rows must be at least 1, is 0"),
        ({"source": "/nowhere/at-all"}, "there is nothing at the source /nowhere/at-all"),
        ({"label": "a/b"}, "source label 'a/b'"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_made(home, source, changes, says):
    with pytest.raises(ValueError, match=says):
        workspace.make(home, request(source, **changes))
    assert not home.runs.exists() or not list(home.runs.iterdir())


def test_a_crash_while_building_leaves_no_half_workspace(home, source, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(workspace.document, "dump", fail)
    with pytest.raises(OSError, match="disk is full"):
        workspace.make(home, request(source))
    assert not list(home.runs.iterdir())
    monkeypatch.undo()


def test_runs_and_the_restricted_state_are_for_their_owner_only(home, source):
    workspace.make(home, request(source))
    for folder in (home.runs, home.restricted_store.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_tree_of_a_draw_holds_nothing_of_the_runs_and_is_recorded_all_the_same(home, source):
    made = workspace.make(home, request(source))
    files.write_text(made.root / "dvc.lock", "schema: '2.0'\n")
    workspace.record(home, made, "ingest")
    drawn = home.workspace("drawn-1")
    version_stores.begin_draw(home, drawn.root, "drawn-1")
    assert version_stores.git("count-objects", cwd=drawn.root).startswith("0 objects")
    assert "restricted" in (drawn.root / ".dvc" / "config").read_text()
    files.write_text(drawn.root / "dvc.lock", "schema: '2.0'\n")
    workspace.record(home, drawn, "sample")
    assert version_stores.git("show", "drawn-1:dvc.lock", cwd=home.restricted_store).startswith(
        "schema"
    )
    assert "dvc.lock" in version_stores.git(
        "ls-tree", "-r", "--name-only", "adult-1", cwd=home.restricted_store
    )


def test_the_declared_source_is_the_default(home, source):
    sources.declare(home, "adult", sources.Source(path=str(source), label="declared"))
    made = workspace.make(home, request(source, source=None, label=None))
    assert params.load(made.params).release.source_label == "declared"


def test_without_any_source_a_person_is_told_what_to_do(home):
    with pytest.raises(ValueError, match="sources set"):
        workspace.make(home, Request(release_id="adult-1", dataset="adult"))


def test_dvc_lock_goes_to_the_runs_own_branch_of_the_restricted_store_only(home, source):
    made = workspace.make(home, request(source))
    files.write_text(made.root / "dvc.lock", "schema: '2.0'\n")
    workspace.record(home, made, "ingest")
    assert version_stores.git("show", "adult-1:dvc.lock", cwd=home.restricted_store).startswith(
        "schema"
    )
    assert "dvc.lock" not in version_stores.git(
        "ls-tree", "-r", "--name-only", "main", cwd=home.restricted_store
    )
    assert version_stores.branches(home.released_store) == {"main"}


def test_each_store_has_a_remote_of_its_own(home):
    version_stores.ensure(home)
    configs = [
        version_stores.git("show", "main:.dvc/config", cwd=registry)
        for registry in (home.restricted_store, home.released_store)
    ]
    assert str(home.restricted_remote) in configs[0] and str(home.released_remote) in configs[1]
    assert all("analytics = false" in config for config in configs)


def test_the_last_charge_is_found_whatever_became_of_it(home, source):
    from pipeline.dp.events import DiscreteGaussianDpEvent

    assert Ledger(home.ledger).last_charge("adult") is None
    ensure_population(home, read_schema(declaration_path("adult")))
    ledger = Ledger(home.ledger)
    assert ledger.last_charge("adult") is None
    for release_id, label in (("adult-1", "first"), ("adult-2", "second")):
        ledger.reserve(
            release_id, "adult", DiscreteGaussianDpEvent(100.0), by="test", source_label=label
        )
    ledger.commit("adult-1")
    ledger.begin_training("adult-2", "test", "token")
    last = ledger.last_charge("adult")
    assert (last.release_id, last.source_label) == ("adult-2", "second")
    assert ledger.state("adult-2") == "reserved"
    ledger.abandon("adult-2", "refused", "custodian")
    assert ledger.last_charge("adult") == last and ledger.state("adult-2") == "abandoned"


def test_sources_survive_a_second_declaration(home, source):
    sources.declare(home, "adult", sources.Source(path=str(source), label="one"))
    sources.declare(home, "uci_heart", sources.Source(path=str(source), label="two"))
    sources.declare(home, "adult", sources.Source(path=str(source), label="three"))
    assert {name: held.label for name, held in sources.load(home).items()} == {
        "adult": "three",
        "uci_heart": "two",
    }
    assert YAML(typ="safe").load(home.sources.read_text())["adult"]["label"] == "three"


def test_a_population_opened_with_other_facts_is_refused(home):
    declared = read_schema(declaration_path("adult"))
    ensure_population(home, declared)
    ensure_population(home, declared)
    with pytest.raises(
        ValueError, match="open in the ledger with nominal_size 48000, asked for 50"
    ):
        ensure_population(
            home, replace(declared, population=replace(declared.population, nominal_size=50))
        )
