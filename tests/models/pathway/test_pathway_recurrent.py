"""The recurrent variant of the pathway network: exact clipping, causality, and the same function in
training and in drawing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pathway_cases import counting_little, toy_events, toy_patients, toy_schema

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.domain.batch import Batch
from pipeline.models.pathway.domain.network import PER_PATIENT, PathwayNetwork
from pipeline.models.pathway.draw.draw import draw
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.draw.start import pathway_start
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.calibration import learn
from pipeline.models.pathway.fit.encoded_log import (
    EncodedLog,
    batch_of,
    encode_log,
    encode_pathways,
)
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import Schema

SETTINGS = PathwaySettings(
    steps=12,
    expected_batch_size=60,
    width=8,
    recurrent=True,
    calibration_patients=60,
    pass_patients=60,
    pass_steps=5,
)
CPU = torch.device("cpu")
EVERYTHING = ("choice", "values")  # the layers that all logits come from


def remembering(schema: Schema) -> PathwayModel:
    """A model with arbitrary weights, whose memory weighs as much as its state."""
    model = new_model(schema, plan_pathways(schema, SETTINGS, 200))
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in (model.network.follows.weight, *model.network.memory.parameters()):
            parameter.normal_(std=0.5)
    return model


def whole(model: PathwayModel, log: EncodedLog) -> Batch:
    return batch_of(model.coding, log, np.arange(log.n_patients), CPU)


@torch.no_grad()
def hidden_of(network: PathwayNetwork, batch: Batch) -> torch.Tensor:
    return network.hidden(batch.features, batch.statics, batch.owner)


def mechanism(clip: float, n: int) -> DpSgd:
    return DpSgd(
        steps=1,
        sampling_probability=1.0,
        l2_clip_norm=clip,
        noise_multiplier=1.0,
        expected_batch_size=float(n),
    )


def clipped_sum(network: PathwayNetwork, batch: Batch, clip: float) -> dict[str, torch.Tensor]:
    n = len(batch.statics)
    return (
        mechanism(clip, n)
        .ghost_clipper(network, PER_PATIENT)
        .clipped_sum(lambda: network.row_losses(batch), batch.owner, n)
    )


def test_ghost_clipped_sum_is_the_sum_of_clipped_patient_gradients() -> None:
    schema, patients, clip = toy_schema(), toy_patients(15), 4.0
    model = remembering(schema)
    # one patient without events
    log = encode_log(model.coding, patients, toy_events(patients).filter(pl.col("patient_id") != 4))
    clipped = clipped_sum(model.network, whole(model, log), clip)
    expected, norms = {name: torch.zeros_like(value) for name, value in clipped.items()}, []
    for i in range(15):
        model.network.zero_grad()
        model.network.row_losses(batch_of(model.coding, log, np.array([i]), CPU)).sum().backward()
        gradients = {name: parameter.grad for name, parameter in model.network.named_parameters()}
        norms.append(float(torch.cat([g.flatten() for g in gradients.values()]).norm()))
        for name, gradient in gradients.items():
            expected[name] += gradient * min(1.0, clip / max(norms[-1], 1e-9))
    assert (
        min(norms) == 0
        and sum(norm > clip for norm in norms) > 3
        and sum(0 < norm < clip for norm in norms) > 0
    ), norms
    for name in ("memory.input.weight", "memory.recurrent.weight", "memory.recurrent.bias"):
        assert expected[name].norm() > 0.01, name
    for name in clipped:
        torch.testing.assert_close(clipped[name], expected[name], rtol=1e-4, atol=1e-4)


def test_one_patient_with_ten_thousand_events_moves_the_clipped_sum_by_at_most_the_clip_norm() -> (
    None
):
    """All of the events are in the batch: no cap helps."""
    schema, patients = toy_schema(max_events=10_000), toy_patients(6)
    model = remembering(schema)
    heavy = pl.DataFrame(
        {
            "patient_id": [6] * 10_000,
            "seq": list(range(10_000)),
            "day": np.arange(10_000) // 6,
            "type": ["DIAGNOSIS"] + ["CYCLE"] * 9_999,
        },
        schema_overrides={"seq": pl.Int32, "day": pl.Int32},
    )
    log = encode_log(
        model.coding, patients, pl.concat([toy_events(patients.head(5)), heavy], how="diagonal")
    )
    assert log.lengths[5] == 10_000
    without, with_her = (
        clipped_sum(model.network, batch_of(model.coding, log, np.arange(n), CPU), 0.5)
        for n in (5, 6)
    )
    moved = torch.cat([(with_her[name] - without[name]).flatten() for name in with_her]).norm()
    assert 0.4 < moved <= 0.5 + 1e-4


@pytest.mark.parametrize("statics", [True, False])
def test_logits_while_drawing_are_those_of_training(statics: bool) -> None:
    """State for state, for pathways of all lengths: a memory that is lost, late or another
    pathway's gives others.
    """
    schema, patients = toy_schema(), toy_patients(60, 2)
    model = remembering(schema)
    coding = model.coding if statics else dataclasses.replace(model.coding, statics=())
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in EVERYTHING}
    hooks = [
        getattr(model.network, name).register_forward_hook(
            lambda _layer, _given, out, name=name: outputs[name].append(out.detach())
        )
        for name in EVERYTHING
    ]
    drawn, _ = draw(coding, model.network, model.heads, patients, 3, np.random.default_rng(0))
    log = encode_pathways(coding, patients[np.repeat(np.arange(60), 3).tolist()], drawn)
    assert len(set(log.lengths.tolist())) > 5 and log.n_patients == 180
    # Each call in drawing held the event at one position of all pathways that have one, in the
    # order of the pathways.
    rows = np.concatenate([log.starts[log.lengths > at] + at for at in range(log.lengths.max())])
    while_drawing = {name: torch.cat(outputs[name]) for name in EVERYTHING}
    for calls in outputs.values():
        calls.clear()
    model.network.row_losses(batch_of(coding, log, np.arange(180), CPU))
    for hook in hooks:
        hook.remove()
    for name in EVERYTHING:
        torch.testing.assert_close(
            while_drawing[name], outputs[name][0][rows], rtol=1e-4, atol=1e-5
        )


def test_what_comes_later_changes_nothing_before_it() -> None:
    """Neither the event to be predicted nor those after it: other events from the third on leave
    the first three rows as they were.
    """
    schema, patients = toy_schema(), toy_patients(40)
    model, events = remembering(schema), toy_events(patients)
    other = events.filter(pl.col("seq") <= 2).with_columns(
        day=pl.when(pl.col("seq") == 2).then(1999).otherwise(pl.col("day")).cast(pl.Int32),
        type=pl.when(pl.col("seq") == 2).then(pl.lit("CENSOR")).otherwise(pl.col("type")),
        code=pl.when(pl.col("seq") == 2).then(pl.lit("X")).otherwise(pl.col("code")),
    )
    original, changed = (encode_log(model.coding, patients, log) for log in (events, other))
    hidden, hidden_changed = (
        hidden_of(model.network, whole(model, log)) for log in (original, changed)
    )
    for i in range(40):
        n = int(min(changed.lengths[i], original.lengths[i]))
        assert n > 1
        torch.testing.assert_close(
            hidden_changed[changed.starts[i] :][:n], hidden[original.starts[i] :][:n]
        )


def test_a_row_reaches_all_later_rows_of_its_patient_and_no_others() -> None:
    schema, patients = toy_schema(), toy_patients(10)
    model = remembering(schema)
    batch = whole(model, encode_log(model.coding, patients, toy_events(patients)))
    row = int((batch.owner < 4).sum()) + 1  # the second row of patient 4
    features = batch.features.clone()
    features[row] = batch.features[row + 1]
    moved = (
        hidden_of(model.network, batch)
        - hidden_of(model.network, dataclasses.replace(batch, features=features))
    ).abs().amax(1) > 1e-6
    later = (batch.owner == 4) & (torch.arange(len(batch.owner)) >= row)
    assert int(later.sum()) > 2 and torch.equal(moved, later)


def test_samples_are_legal_and_no_patients_give_no_events() -> None:
    schema, patients = toy_schema(treatments=("SURGERY", "REGIMEN")), toy_patients(2000, 5)
    model = remembering(schema)
    free = model.sample(patients, np.random.default_rng(0))
    begun, _ = model.sample_with_start(
        patients, pathway_start(model.coding, ["REGIMEN"]), np.random.default_rng(0)
    )
    for events in (free, begun):
        assert (
            violations(Grammar(schema), patients, events).is_empty()
            and events["patient_id"].n_unique() == 2000
        )
    assert model.sample(patients.head(0), np.random.default_rng(0)).is_empty()


def test_a_fitted_model_is_as_planned_and_draws_the_same_when_loaded(tmp_path: Path) -> None:
    schema, patients, tape = toy_schema(), toy_patients(200), Tape()
    plan = plan_pathways(schema, SETTINGS, 200)
    assert PathwayPlan.from_json(plan.to_json()) == plan
    model = train.fit(
        schema,
        patients,
        toy_events(patients),
        plan,
        2.0,
        store=MeasurementStore(tmp_path / "counts"),
        tape=tape,
        noise=NoiseStream(),
        checkpoint=tmp_path,
        progress=lambda text: None,
        draw_patients=lambda size: toy_patients(size, 9),
    )
    assert tape.matches(plan.dp_event(2.0))
    start = new_model(schema, plan).network.memory.state_dict()
    assert all(
        not torch.equal(value, start[name])
        for name, value in model.network.memory.state_dict().items()
    )
    model.save(tmp_path / "model")
    loaded, static = PathwayModel.load(tmp_path / "model", schema), toy_patients(300, 3)
    drawn = model.sample(static, np.random.default_rng(1))
    assert loaded.sample(static, np.random.default_rng(1)).equals(drawn)
    torch.nn.init.zeros_(loaded.network.memory.recurrent.weight)
    # the memory that was stored has a say
    assert not loaded.sample(static, np.random.default_rng(1)).equals(drawn)


def test_a_plan_from_before_the_setting_is_feed_forward() -> None:
    settings = dataclasses.replace(SETTINGS, recurrent=False)
    stored = plan_pathways(toy_schema(), settings, 200).to_json()
    del stored["settings"]["recurrent"]
    model = new_model(toy_schema(), PathwayPlan.from_json(stored))
    assert model.network.memory is None and not any(
        name.startswith("memory") for name in model.network.state_dict()
    )


@pytest.mark.long
def test_memory_learns_what_the_state_forgets() -> None:
    """The last event's code follows that of a surgery with a regimen in between: of the event
    before the last one, features tell the type alone.
    """
    schema, patients = (
        counting_little(toy_schema()),
        toy_patients(600).with_columns(site=pl.lit("breast"), stage=pl.lit("2")),
    )
    follows = {"SURGERY": ("biopsy", "mastectomy"), "CENSOR": ("X", "A")}
    code = pl.col("code")
    for kind, (even, odd) in follows.items():
        code = (
            pl.when(pl.col("type") == kind)
            .then(pl.when(pl.col("patient_id") % 2 == 0).then(pl.lit(even)).otherwise(pl.lit(odd)))
            .otherwise(code)
        )
    events = (
        toy_events(patients)
        .filter(~pl.col("type").is_in(["REFERRAL", "CYCLE", "REGIMEN_END"]))
        .with_columns(code=code)
    )
    log, losses = encode_log(remembering(schema).coding, patients, events), []
    # nothing to learn but types and codes
    log = dataclasses.replace(log, gap=np.full_like(log.gap, -1))
    for recurrent in (False, True):
        settings = dataclasses.replace(
            SETTINGS, width=32, recurrent=recurrent, pass_steps=150, pass_rate=0.02
        )
        model = new_model(schema, plan_pathways(schema, settings, 200))
        learn(model, log, np.random.default_rng(0), "cpu")
        with torch.no_grad():
            batch = dataclasses.replace(whole(model, log), weight=torch.ones(len(log.token)))
            losses.append(
                float(model.network.row_losses(batch)[log.starts + log.lengths - 1].mean())
            )
    feed_forward, remembered = losses
    assert feed_forward > 0.6 and remembered < 0.2, losses  # log 2 is what a coin's toss costs
