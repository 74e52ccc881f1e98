"""Train: only what is charged, run exactly once whatever happens, no model where the two differ."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
from charged_cases import Killed, declared, killed, run_train, settings

from pipeline.catalog import Home, Workspace
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.ledger import Ledger, ReservationConflict
from pipeline.models.pathway.fit import train as pathway_training
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.restricted import reserve, train


def test_the_walk_from_charge_to_model(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    model = Synthesizer.load(workspace.released.model)
    drawn = next(model.sample(20, 1, 20))
    assert len(drawn.patients) == 20 and set(drawn.pathways["type"]) <= {"VISIT", "LEFT"}
    reservation = json.loads(workspace.restricted.reservation.read_text())
    assert (
        0.9 < reservation["epsilon"] <= 1.0
        and reservation["entry"] == Ledger(Home.find().ledger).reservation("toy-1").entry
    )
    assert {"table_counts", "pathway_counts", "pathway_sgd"} == {
        line["name"] for line in reservation["mechanisms"]
    }


def test_nobody_is_a_population_too(workspace: Workspace) -> None:
    """{one patient} and {} are neighbours: training ends in a model either way."""
    for path in (workspace.restricted.patients, workspace.restricted.events):
        pl.read_parquet(path).clear().write_parquet(path)
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    drawn = next(Synthesizer.load(workspace.released.model).sample(20, 1, 20))
    assert len(drawn.patients) == 20 and drawn.events is not None


def test_training_needs_the_ledgers_word(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="run reserve first"):
        run_train(workspace)
    reserve.run(workspace, settings(), declared(workspace))
    reservation = json.loads(workspace.restricted.reservation.read_text())
    reservation["plan"]["scale"] /= 2
    workspace.restricted.reservation.write_text(json.dumps(reservation))
    with pytest.raises(ValueError, match="does not hold this plan"):
        run_train(workspace)
    assert not workspace.restricted.checkpoints.root.exists()


def test_training_is_in_the_ledger_before_a_row_is_read(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pl, "read_parquet", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            run_train(workspace)
    ledger = Ledger(Home.find().ledger)
    assert [entry.kind for entry in ledger.entries("toy")] == ["opened", "reserved", "training"]
    assert ledger.state("toy-1") == "reserved" and ledger.balance("toy").n_releases == 1


@pytest.mark.parametrize("left", [(), ("lock",)])
def test_nobody_shops_among_noises(begun: Workspace, left: tuple[str, ...]) -> None:
    shutil.rmtree(begun.restricted.checkpoints.root)
    for name in left:
        begun.restricted.checkpoints.root.mkdir()
        (begun.restricted.checkpoints.root / name).touch()
    with pytest.raises(ValueError, match="Use a new release id"):
        run_train(begun)
    assert not begun.released.model.exists()


def test_counts_that_are_gone_are_not_measured_again(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    run_train(workspace)
    shutil.rmtree(workspace.restricted.checkpoints.counts)
    shutil.rmtree(workspace.restricted.checkpoints.model)
    with pytest.raises(ValueError, match="put counts/ back, or use a new release id"):
        run_train(workspace)


@pytest.mark.parametrize("closed", ["released", "abandoned"])
def test_a_closed_release_is_not_trained(workspace: Workspace, closed: str) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    ledger = Ledger(Home.find().ledger)
    ledger.commit("toy-1") if closed == "released" else ledger.abandon("toy-1", "tests", "tests")
    with pytest.raises(ValueError, match=f"toy-1 is {closed} in the ledger"):
        run_train(workspace)
    with pytest.raises(ValueError, match=closed):
        ledger.begin_training("toy-1", "tests", "token")
    assert not workspace.restricted.checkpoints.root.exists()


def test_another_plan_of_the_same_cost_is_another_plan(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    reservation = json.loads(workspace.restricted.reservation.read_text())
    # moves no noise
    reservation["plan"]["table_share"] = reservation["plan"]["table_share"] * 0.999
    workspace.restricted.reservation.write_text(json.dumps(reservation))
    with pytest.raises(ValueError, match="does not hold this plan"):
        run_train(workspace)
    held = Ledger(Home.find().ledger).reservation("toy-1")
    assert held is not None and held.plan_sha256 is not None
    with pytest.raises(ReservationConflict, match="another plan"):
        Ledger(Home.find().ledger).reserve(
            "toy-1", "toy", held.event, by="tests", source_label="first", plan_sha256="0" * 64
        )


def test_leftovers_of_a_killed_attempt_are_removed(
    begun: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers = [
        begun.restricted.checkpoints.root / "step.tmp",
        begun.restricted.checkpoints.counts / "half.tmp",
    ]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(train, "fit", killed)
    with pytest.raises(Killed):
        run_train(begun)
    assert not any(path.exists() for path in leftovers)


def test_a_killed_training_goes_on_and_ends_as_reserved(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, steps = pathway_training._save, []

    def killed_after_step_4(file, state, mechanism) -> None:
        save(file, state, mechanism)
        steps.append(state.step)
        if steps == [2, 4]:
            raise Killed

    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pathway_training, "_save", killed_after_step_4)
    with pytest.raises(Killed):
        run_train(workspace)
    assert not workspace.released.model.exists()
    counts = {
        path.name: path.read_bytes() for path in (workspace.restricted.checkpoints.counts).iterdir()
    }
    run_train(workspace)
    assert steps == [2, 4, 6] and Synthesizer.load(workspace.released.model)
    assert counts == {
        path.name: path.read_bytes() for path in (workspace.restricted.checkpoints.counts).iterdir()
    }
    assert Ledger(Home.find().ledger).balance("toy").n_releases == 1


def test_one_step_more_than_reserved_stops_the_release(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = pathway_training._update

    def forgets_a_step(state, gradients, steps, chosen) -> None:
        update(state, gradients, steps, chosen)
        if state.step == 3 and not forgotten:
            forgotten.append(state.step)
            state.step -= 1

    forgotten: list[int] = []
    reserve.run(workspace, settings(), declared(workspace))
    monkeypatch.setattr(pathway_training, "_update", forgets_a_step)
    with pytest.raises(ValueError, match="not the reserved ones"):
        run_train(workspace)
    assert forgotten and not workspace.released.model.exists()


def test_a_count_measured_beside_the_tape_stops_the_release(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    extra = NoisyCounts(name="one/beside", sigma=2.0, cells=4)
    MeasurementStore(workspace.restricted.checkpoints.counts).get_or_measure(
        extra, lambda: np.zeros(4, np.int64), NoiseStream()
    )
    with pytest.raises(ValueError, match="not the reserved ones"):
        run_train(workspace)
    assert not workspace.released.model.exists()


def test_two_trainings_at_once_are_refused(workspace: Workspace) -> None:
    reserve.run(workspace, settings(), declared(workspace))
    with (
        train._alone(workspace.restricted.checkpoints),
        pytest.raises(ValueError, match="another process"),
    ):
        run_train(workspace)


def test_nothing_is_logged_about_patients(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two extracts of different size and content, each in a home of its own: the same log lines."""
    said = []
    second = workspace.root / "second"
    (second / "state").mkdir(parents=True)
    shutil.copyfile(Home.find().ledger_file, second / "state" / "ledger.db")
    for rows in (80, 30):
        caplog.clear()
        with caplog.at_level("DEBUG", logger="pipeline"):
            reserve.run(workspace, settings(), declared(workspace))
            pl.read_parquet(workspace.restricted.patients).head(rows).write_parquet(
                workspace.restricted.patients
            )
            run_train(workspace)
        said.append([record.getMessage() for record in caplog.records])
        shutil.rmtree(workspace.restricted.checkpoints.root)
        monkeypatch.setenv("SYNDASERA_HOME", str(second))
    assert said[0] == said[1] and any("step" in line for line in said[0])
