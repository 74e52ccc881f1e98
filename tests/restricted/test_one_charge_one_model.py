"""One charge pays for one training: steps that were kept are not run again, another model is not
let out, and no other seed is drawn by.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from charged_cases import Killed, declared, killed, run_train, settings

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.ledger import Ledger, ReservationConflict
from pipeline.models.pathway.fit import train as pathway_training
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.refusal import Refusal
from pipeline.released import sample
from pipeline.restricted import reserve, train


@pytest.fixture
def charged(workspace: Workspace) -> Workspace:
    reserve.run(workspace, settings(), declared(workspace))
    return workspace


@pytest.fixture
def done(charged: Workspace) -> Workspace:
    run_train(charged)
    return charged


def kinds() -> list[str]:
    return [entry.kind for entry in Ledger(Home.find().ledger).entries("toy")]


def pathway(workspace: Workspace) -> Path:
    return workspace.restricted.checkpoints.root / "pathway"


def killed_at(step: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    save = pathway_training._save

    def dies(file: Path, state: pathway_training.Training, mechanism: DpSgd) -> None:
        if state.step > step:
            raise Killed
        save(file, state, mechanism)

    with monkeypatch.context() as patch:
        patch.setattr(pathway_training, "_save", dies)
        with pytest.raises(Killed):
            run_train(workspace)


def lost(workspace: Workspace) -> None:
    (pathway(workspace) / "pathway.safetensors").unlink()


def lost_folder(workspace: Workspace) -> None:
    shutil.rmtree(pathway(workspace))


def older(workspace: Workspace) -> None:
    shutil.rmtree(pathway(workspace))
    shutil.copytree(workspace.root / "older", pathway(workspace))


@pytest.mark.parametrize("fault", [lost, lost_folder, older], ids=lambda fault: fault.__name__)
def test_steps_that_were_kept_are_not_run_again(
    charged: Workspace, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Workspace], None]
) -> None:
    killed_at(2, charged, monkeypatch)
    shutil.copytree(pathway(charged), charged.root / "older")
    killed_at(4, charged, monkeypatch)
    fault(charged)
    with pytest.raises(ValueError, match=r"noisy steps were kept once.*put pathway/ back"):
        run_train(charged)
    assert not charged.released.model.exists() and "trained" not in kinds()


def test_a_crash_after_the_checkpoint_and_before_its_note_goes_on(
    charged: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pathway_training.StepIndex, "note", killed)
        with pytest.raises(Killed):
            run_train(charged)
    run_train(charged)
    assert kinds()[-1] == "trained"


def test_the_three_models_of_one_charge_are_one(done: Workspace) -> None:
    """Whoever takes away the checkpoint, its index and the finished model gets no second model."""
    checkpoints, first = done.restricted.checkpoints, files.folder_sha256(done.released.model)
    for _ in range(2):
        shutil.rmtree(checkpoints.model)
        shutil.rmtree(pathway(done))
        pathway(done).with_name("pathway.steps").unlink()
        with pytest.raises(ValueError, match="another model was trained under this charge"):
            run_train(done)
        assert files.folder_sha256(done.released.model) == first
    assert kinds().count("trained") == 1


@pytest.mark.parametrize("lost", ["model", "handed out", "both"])
def test_training_again_gives_the_same_model_and_draws_no_noise(
    done: Workspace, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    before, first = kinds(), files.folder_sha256(done.released.model)
    if lost in ("model", "both"):
        shutil.rmtree(done.restricted.checkpoints.model)
    if lost in ("handed out", "both"):
        shutil.rmtree(done.released.model)
        done.restricted.tape.unlink()
    for draw in ("normal", "discrete_gaussian", "bernoulli"):
        monkeypatch.setattr(NoiseStream, draw, killed)
    run_train(done)
    assert kinds() == before and done.restricted.tape.is_file()
    assert files.folder_sha256(done.released.model) == first


@pytest.mark.parametrize("at", ["before the entry", "after the entry", "before the model"])
def test_a_crash_about_the_entry_is_resumed_without_a_second_noise(
    charged: Workspace, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    owner, name = {
        "before the entry": (Ledger, "note_model"),
        "after the entry": (train, "_hand_out"),
        "before the model": (train.Synthesizer, "save"),
    }[at]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            run_train(charged)
    assert not charged.released.model.exists()
    leftover = charged.restricted.checkpoints.root / ".model.0123abcd.tmp"
    leftover.mkdir()  # of a writer that was killed
    with monkeypatch.context() as patch:
        for draw in ("normal", "discrete_gaussian", "bernoulli"):
            patch.setattr(NoiseStream, draw, killed)
        run_train(charged)
    ledger = Ledger(Home.find().ledger)
    assert ledger.trained_model("toy-1") == files.folder_sha256(charged.released.model)
    assert kinds() == ["opened", "reserved", "training", "trained"]


def test_the_ledger_takes_one_model(charged: Workspace) -> None:
    ledger = Ledger(Home.find().ledger)
    with pytest.raises(ValueError, match="no training began"):
        ledger.note_model("toy-1", "tests", "a" * 64)
    ledger.begin_training("toy-1", "tests", "token")
    ledger.note_model("toy-1", "tests", "a" * 64)
    head = ledger.chain_head()
    ledger.note_model("toy-1", "tests", "a" * 64)
    with pytest.raises(ValueError, match="another model"):
        ledger.note_model("toy-1", "tests", "b" * 64)
    assert ledger.chain_head() == head and ledger.state("toy-1") == "reserved"
    ledger.commit("toy-1", {"manifest": "x"})
    ledger.commit("toy-1", {"manifest": "x"})
    ledger.note_model("toy-1", "tests", "a" * 64)


def by_seed(seed: int):
    given = settings()
    return dataclasses.replace(given, sample=dataclasses.replace(given.sample, seed=seed))


def test_the_charge_binds_the_seed(done: Workspace) -> None:
    assert Ledger(Home.find().ledger).reservation("toy-1").seed == settings().sample.seed
    with pytest.raises(ReservationConflict, match="draw with the seed 1, asked for 2"):
        reserve.run(done, by_seed(2), declared(done))
    with pytest.raises(ValueError, match="charged for a draw with the seed 1"):
        sample.run(done, by_seed(2), declared(done))
    assert not done.released.synthetic.root.exists()
    sample.run(done, settings(), declared(done))
    Ledger(Home.find().ledger).commit("toy-1")
    with pytest.raises(ReservationConflict):
        reserve.run(done, by_seed(2), declared(done))


def test_a_charge_of_before_seeds_were_bound_binds_none(charged: Workspace) -> None:
    ledger = Ledger(Home.find().ledger)
    held = ledger.reservation("toy-1")
    for seed in (None, 5):
        ledger.reserve("old-1", "toy", held.event, by="tests", source_label="first", seed=seed)
    assert ledger.reservation("old-1").seed is None


def test_an_extract_is_drawn_from_the_trained_model_alone(done: Workspace) -> None:
    model = done.released.model / "model.json"
    model.write_text(model.read_text() + " ")
    with pytest.raises(ValueError, match="is not the one that was trained under the charge"):
        sample.run(done, settings(), declared(done))
    run_train(done)
    sample.run(done, settings(), declared(done))


def test_a_damaged_file_is_named(done: Workspace) -> None:
    """The model's files, and those by which stages tell each other."""
    model = done.released.model
    for file in [path for path in sorted(model.rglob("*")) if path.is_file()]:
        content = file.read_bytes()
        for damage in (b"", content[: len(content) // 2], b"\0" * 64, b"[]", b"{}"):
            file.write_bytes(damage)
            with pytest.raises(Refusal, match=file.name):
                Synthesizer.load(model)
        file.unlink()
        with pytest.raises(Refusal, match=file.name):
            Synthesizer.load(model)
        file.write_bytes(content)
    assert Synthesizer.load(model)
    reservation = done.restricted.reservation
    whole = reservation.read_text()
    for damage in ("", whole[:100], "\0"):
        reservation.write_text(damage)
        with pytest.raises(Refusal, match=r"restricted/reservation\.json is damaged"):
            run_train(done)
        with pytest.raises(Refusal, match=r"reservation\.json is damaged"):
            reserve.noted_chain_heads(Home.find())
