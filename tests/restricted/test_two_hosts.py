"""A training that goes on on another host: one charge, each count and each kept step once, whatever
host is lost when.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from charged_cases import Killed, declared, killed, run_train, settings
from charged_cases import workspace as workspace
from host_cases import database as database
from host_cases import deploy, shared_places

from pipeline import files
from pipeline.catalog import Home, Workspace
from pipeline.dp.errors import MechanismError
from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.steps import StepIndex
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.models.pathway.fit import train as pathway_training
from pipeline.restricted import reserve, train
from pipeline.runs.object_store import FolderStore, checkpoint_store
from pipeline.runs.training_mirror import TrainingMirror

AGE = NoisyCounts(name="age", sigma=4.0, cells=3)


@pytest.fixture
def deployed(tmp_path: Path, database: str) -> dict[str, object]:
    """Before the home is used: this host's part of the deployment."""
    places = shared_places(tmp_path / "elsewhere", database)
    deploy(tmp_path, places)
    return places


@pytest.fixture
def charged(deployed: dict[str, object], workspace: Workspace) -> Workspace:
    reserve.run(workspace, settings(), declared(workspace))
    return workspace


def on_another_host(
    charged: Workspace, deployed: dict[str, object], tmp_path: Path, patch: pytest.MonkeyPatch
) -> Workspace:
    """The same run on a host that has what git and DVC bring there, and nothing else."""
    other = tmp_path / "other"
    deploy(other, deployed)
    there = Workspace(other / "runs" / "toy-1")
    ignored = shutil.ignore_patterns("checkpoints", "*.lock")
    shutil.copytree(charged.root, there.root, ignore=ignored)
    patch.setenv(HOME_VARIABLE, str(other))
    return there


def kinds() -> list[str]:
    return [entry.kind for entry in Ledger(Home.find().ledger).entries("toy")]


def objects() -> dict[str, bytes]:
    store = checkpoint_store(Home.find())
    return {name: store.get(name) or b"" for name in store.names("toy-1/training/")}


def lost_at(step: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is lost after the checkpoint of a later step, before that is noted anywhere."""
    note = pathway_training.StepIndex.note

    def dies(self: StepIndex, now: int) -> None:
        if now > step:
            raise Killed
        note(self, now)

    with monkeypatch.context() as patch:
        patch.setattr(pathway_training.StepIndex, "note", dies)
        with pytest.raises(Killed):
            run_train(workspace)


def test_another_host_goes_on_from_what_was_kept(
    charged: Workspace, deployed: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_at(2, charged, monkeypatch)
    kept = objects()
    assert {name for name in kept if "safetensors" in name} == {
        "toy-1/training/pathway/pathway.safetensors.2"
    }
    there = on_another_host(charged, deployed, tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(NoiseStream, "discrete_gaussian", killed)  # no count is measured again
        run_train(there)
    after = objects()
    assert {name: after[name] for name in kept} == kept
    assert kinds() == ["opened", "keyed", "reserved", "training", "trained"] or kinds() == [
        "opened",
        "reserved",
        "training",
        "trained",
    ]
    model = files.folder_sha256(there.released.model)
    assert Ledger(Home.find().ledger).trained_model("toy-1") == model
    # the host that was lost comes back: its later checkpoint is none, and it gives out that model
    monkeypatch.setenv(HOME_VARIABLE, str(charged.root.parents[1]))
    for draw in ("normal", "discrete_gaussian", "bernoulli"):
        monkeypatch.setattr(NoiseStream, draw, killed)
    run_train(charged)
    assert files.folder_sha256(charged.released.model) == model and objects() == after


def test_a_host_that_is_lost_before_the_model_is_noted_leaves_it_to_the_next(
    charged: Workspace, deployed: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "note_model", killed)
        with pytest.raises(Killed):
            run_train(charged)
    first = files.folder_sha256(charged.restricted.checkpoints.model)
    there = on_another_host(charged, deployed, tmp_path, monkeypatch)
    monkeypatch.setattr(train, "fit", killed)
    run_train(there)
    assert files.folder_sha256(there.released.model) == first


@pytest.mark.parametrize("lost", ["token", "counts/", "pathway/"])
def test_what_the_store_lost_is_not_made_again(
    charged: Workspace,
    deployed: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    lost_at(2, charged, monkeypatch)
    for name in objects():
        if name.startswith(f"toy-1/training/{lost}"):
            (Path(str(deployed["checkpoints"])) / name).unlink()
    there = on_another_host(charged, deployed, tmp_path, monkeypatch)
    with pytest.raises(MechanismError, match="was kept once and is gone from the checkpoint store"):
        run_train(there)
    assert not there.released.model.exists() and "trained" not in kinds()


def test_of_two_hosts_that_measure_at_once_both_use_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    mirror = TrainingMirror(Home.find(), "a-1", FolderStore(tmp_path / "objects"))
    one, other = (MeasurementStore(tmp_path / host / "counts", mirror) for host in "ab")
    measured = []

    def counts() -> np.ndarray:
        """The other host measures while this one reads rows."""
        if not measured:
            measured.append(other.get_or_measure(AGE, lambda: np.array([1, 2, 3]), NoiseStream()))
        return np.array([1, 2, 3])

    mine = one.get_or_measure(AGE, counts, NoiseStream())
    assert np.array_equal(mine, measured[0])
    third = MeasurementStore(tmp_path / "c" / "counts", mirror)
    assert np.array_equal(third.get_or_measure(AGE, killed, NoiseStream()), mine)


def test_of_two_hosts_that_keep_one_step_the_second_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that was cut off from the locks' database does not know that another one trains."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    mirror = TrainingMirror(Home.find(), "a-1", FolderStore(tmp_path / "objects"))
    indexes = {}
    for host in "ab":
        file = tmp_path / host / "pathway" / "weights"
        file.parent.mkdir(parents=True)
        file.write_text(host)
        indexes[host] = StepIndex(file, mirror)
    indexes["a"].note(50)
    with pytest.raises(MechanismError, match="another process kept step 50 first"):
        indexes["b"].note(50)
    assert indexes["b"].last == 0
    indexes["b"].fetch()
    assert (tmp_path / "b" / "pathway" / "weights").read_text() == "a" and indexes["b"].last == 50


class Beside(FolderStore):
    """Another host keeps an object right before, or right after, this one asks for it."""

    def __init__(self, root: Path, other: TrainingMirror, *, is_before: bool) -> None:
        super().__init__(root)
        self.other, self.is_before, self.is_done = other, is_before, False

    def get(self, name: str) -> bytes | None:
        before = super().get(name)
        if not self.is_done:
            self.is_done = True
            self.other.keep("counts/age", b"theirs")
        return super().get(name) if self.is_before else before


@pytest.mark.parametrize("is_before", [True, False])
def test_what_another_host_keeps_meanwhile_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    objects = tmp_path / "objects"
    other = TrainingMirror(Home.find(), "a-1", FolderStore(objects))
    mirror = TrainingMirror(Home.find(), "a-1", Beside(objects, other, is_before=is_before))
    assert mirror.keep("counts/age", b"ours") == b"theirs"
    assert other.find("counts/age") == b"theirs"


class Unconditional(FolderStore):
    """A store that does not look whether something is there."""

    def put_once(self, name: str, content: bytes) -> bytes:
        self.put(name, content)
        return content


def test_a_store_that_takes_two_writes_at_once_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hosts saw nothing there, and the store took what both wrote."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    objects = Unconditional(tmp_path / "objects")
    one, other = (TrainingMirror(Home.find(), "a-1", objects) for _ in range(2))
    monkeypatch.setattr(other, "find", lambda _name: None)
    assert one.keep("counts/age", b"ours") == b"ours"
    with pytest.raises(MechanismError, match="another one in the checkpoint store"):
        other.keep("counts/age", b"theirs")
