"""Real patients with synthetic ones below them: where they lie, who they are, and who may not."""

from __future__ import annotations

import stat
from pathlib import Path

import polars as pl
import pytest
from pathway_cases import toy_events, toy_patients, toy_schema
from test_draw_plan import TRAIN

from pipeline import files
from pipeline.catalog import Workspace
from pipeline.draw_plan import DrawPlan, plan_of
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.refusal import Refusal
from pipeline.restricted import augment
from pipeline.restricted.train import fit_public

WOMEN = plan_of({"where": {"site": "breast"}})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run that ingested 60 patients and trained."""
    own = Workspace(tmp_path_factory.mktemp("runs") / "one-1")
    patients = toy_patients(60)
    own.restricted.patients.parent.mkdir(parents=True)
    patients.write_parquet(own.restricted.patients)
    toy_events(patients).write_parquet(own.restricted.events)
    fit_public(toy_schema(), patients, toy_events(patients), 3.0, 1e-6, TRAIN, own.released.model)
    return own


def test_real_patients_stay_as_they_are_and_synthetic_ones_come_below(workspace: Workspace) -> None:
    folder = augment.run(workspace, "more-women", 25, WOMEN, seed=1)
    assert folder == workspace.restricted.root / "augmented" / "more-women"
    patients = pl.read_parquet(folder / "patients.parquet")
    events = pl.read_parquet(folder / "events.parquet")
    own, drawn = patients.filter(~pl.col("synthetic")), patients.filter("synthetic")
    before = pl.read_parquet(workspace.restricted.patients)
    assert own.drop("synthetic").equals(before) and set(drawn["site"]) == {"breast"}
    assert drawn["patient_id"].to_list() == list(range(61, 86))
    assert events.filter(pl.col("patient_id") <= 60).equals(
        pl.read_parquet(workspace.restricted.events)
    )
    assert set(events["patient_id"]) == set(patients["patient_id"])
    assert files.read_json(folder / "plan.json")["plan"] == WOMEN.to_json()


def test_nobody_else_may_read_it(workspace: Workspace) -> None:
    folder = augment.run(workspace, "private", 5, DrawPlan(), seed=1)
    for path in (folder, folder.parent, *folder.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_it_is_written_anew_and_replaces_nothing_else(workspace: Workspace) -> None:
    folder = augment.run(workspace, "again", 5, DrawPlan(), seed=1)
    augment.run(workspace, "again", 6, DrawPlan(), seed=2)
    assert pl.read_parquet(folder / "patients.parquet")["synthetic"].sum() == 6
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Refusal, match=r"notes\.txt"):
        augment.run(workspace, "again", 5, DrawPlan(), seed=1)


def test_what_cannot_be_augmented_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no patients in this workspace"):
        augment.run(Workspace(tmp_path / "draw-1"), "more", 5, DrawPlan(), seed=1)
    with pytest.raises(Refusal, match="--name"):
        augment.run(workspace, "../elsewhere", 5, DrawPlan(), seed=1)
    with pytest.raises(Refusal, match="site has no value"):
        augment.run(workspace, "more", 5, plan_of({"where": {"site": "liver"}}), seed=1)
    assert not (workspace.restricted.root / "augmented" / "more").exists()


def test_patients_whose_ids_are_text_get_synthetic_ones_of_text(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As ingest names people of a table without an id; digits as text never meet either."""
    own = Workspace(tmp_path / "text-1")
    own.restricted.patients.parent.mkdir(parents=True)
    named = {"patient_id": pl.concat_str(pl.lit("00ff0b-"), "patient_id")}
    for source, target in (
        (workspace.restricted.patients, own.restricted.patients),
        (workspace.restricted.events, own.restricted.events),
    ):
        pl.read_parquet(source).with_columns(**named).write_parquet(target)
    Synthesizer.load(workspace.released.model).save(own.released.model)
    folder = augment.run(own, "more", 7, DrawPlan(), seed=1)
    patients = pl.read_parquet(folder / "patients.parquet")
    events = pl.read_parquet(folder / "events.parquet")
    assert patients["patient_id"].n_unique() == 67 and patients["synthetic"].sum() == 7
    assert set(events["patient_id"]) == set(patients["patient_id"])
    assert patients.filter("synthetic")["patient_id"].str.starts_with("synthetic-").all()
