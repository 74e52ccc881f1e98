"""The pathway model: exact gradients, bounded contributions, resume, legal and useful samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import dp_accounting as dpa
import numpy as np
import polars as pl
import pytest
import torch
from pathway_cases import counting_little, toy_events, toy_log, toy_patients, toy_schema

from pipeline.dp.accounting import calibrate, epsilon
from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.dp.tape import Tape
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.domain.batch import Batch
from pipeline.models.pathway.domain.encode import codec, gaps
from pipeline.models.pathway.domain.network import PER_PATIENT
from pipeline.models.pathway.draw.draw import draw
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.encoded_log import batch_of, encode_log
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings, for_size, from_mapping
from pipeline.schema.values import Column, Schema

SMALL = PathwaySettings(
    steps=12,
    expected_batch_size=60,
    width=8,
    calibration_patients=60,
    pass_patients=60,
    pass_steps=5,
)
CPU = torch.device("cpu")


def quiet(_: str) -> None:
    pass


def fit(
    folder: Path,
    *,
    settings: PathwaySettings = SMALL,
    n: int = 200,
    scale: float = 2.0,
    tape: Tape | None = None,
    progress=quiet,
    checkpoint_steps: int = 5,
) -> PathwayModel:
    patients = toy_patients(n)
    plan = plan_pathways(toy_schema(), settings, 200)
    return train.fit(
        toy_schema(),
        patients,
        toy_events(patients),
        plan,
        scale,
        store=MeasurementStore(folder / "counts"),
        tape=tape if tape is not None else Tape(),
        noise=NoiseStream(),
        checkpoint=folder,
        progress=progress,
        draw_patients=lambda size: toy_patients(size, 9),
        checkpoint_steps=checkpoint_steps,
    )


def untrained(schema: Schema, settings: PathwaySettings = SMALL, **planned) -> PathwayModel:
    return new_model(schema, plan_pathways(schema, settings, 200, **planned))


def per_patient_gradients(
    network: torch.nn.Module, batches: list[Batch]
) -> list[dict[str, torch.Tensor]]:
    """The slow way: one backward pass per patient."""
    gradients = []
    for batch in batches:
        network.zero_grad()
        network.row_losses(batch).sum().backward()
        gradients.append(
            {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
        )
    return gradients


def test_ghost_clipped_sum_is_the_sum_of_clipped_patient_gradients() -> None:
    schema, patients = toy_schema(), toy_patients(15)
    network, coding = untrained(schema).network, untrained(schema).coding
    with torch.no_grad():
        network.follows.weight.normal_(std=0.3)
    # one patient without events
    log = encode_log(coding, patients, toy_events(patients).filter(pl.col("patient_id") != 4))
    mechanism = DpSgd(
        steps=1,
        sampling_probability=1.0,
        l2_clip_norm=3.2,
        noise_multiplier=1.0,
        expected_batch_size=15.0,
    )
    batch = batch_of(coding, log, np.arange(15), CPU)
    clipped = mechanism.ghost_clipper(network, PER_PATIENT).clipped_sum(
        lambda: network.row_losses(batch), batch.owner, 15
    )
    slow = per_patient_gradients(
        network, [batch_of(coding, log, np.array([i]), CPU) for i in range(15)]
    )
    norms = [float(torch.cat([g.flatten() for g in grads.values()]).norm()) for grads in slow]
    assert (
        min(norms) == 0
        and sum(norm > 3.2 for norm in norms) > 3
        and sum(0 < norm < 3.2 for norm in norms) > 0
    ), norms
    for name in clipped:
        expected = sum(
            grads[name] * min(1.0, 3.2 / max(norm, 1e-9))
            for grads, norm in zip(slow, norms, strict=True)
        )
        torch.testing.assert_close(clipped[name], expected, rtol=1e-4, atol=1e-4)


def test_one_patient_with_ten_thousand_events_moves_the_clipped_sum_by_at_most_the_clip_norm() -> (
    None
):
    schema, patients = toy_schema(), toy_patients(6)
    network, coding = untrained(schema).network, untrained(schema).coding
    events = toy_events(patients.head(5))
    heavy = pl.DataFrame(
        {
            "patient_id": [6] * 10_000,
            "seq": list(range(10_000)),
            "day": np.arange(10_000) // 6,
            "type": ["DIAGNOSIS"] + ["CYCLE"] * 9_999,
        },
        schema_overrides={"seq": pl.Int32, "day": pl.Int32},
    )
    log = encode_log(coding, patients, pl.concat([events, heavy], how="diagonal"))
    assert log.lengths[5] == schema.events.max_events
    mechanism = DpSgd(
        steps=1,
        sampling_probability=1.0,
        l2_clip_norm=0.5,
        noise_multiplier=1.0,
        expected_batch_size=6.0,
    )
    clipper = mechanism.ghost_clipper(network, PER_PATIENT)
    sums = []
    for who in (np.arange(5), np.arange(6)):
        batch = batch_of(coding, log, who, CPU)
        sums.append(
            clipper.clipped_sum(
                lambda batch=batch: network.row_losses(batch), batch.owner, len(who)
            )
        )
    moved = torch.cat([(sums[1][name] - sums[0][name]).flatten() for name in sums[0]]).norm()
    assert 0.4 < moved <= 0.5 + 1e-4


def test_a_later_event_weighs_less_and_weights_come_from_the_past_alone() -> None:
    schema, patients = toy_schema(), toy_patients(30)
    log = encode_log(untrained(schema).coding, patients, toy_events(patients))
    first = log.weight[log.starts]
    assert (first == 1).all() and (log.weight[log.starts + log.lengths - 1] < 1).all()
    cut = encode_log(
        untrained(schema).coding,
        patients,
        toy_events(patients).filter(pl.col("seq") < 3),
    )
    for i in range(30):
        n = cut.lengths[i]
        assert (
            cut.weight[cut.starts[i] : cut.starts[i] + n]
            == log.weight[log.starts[i] : log.starts[i] + n]
        ).all()


def test_encoding_of_a_patient_does_not_depend_on_the_others() -> None:
    schema, patients = toy_schema(), toy_patients(40)
    coding, events = untrained(schema).coding, toy_events(patients)
    everybody = encode_log(coding, patients, events)
    own_events = events.filter(pl.col("patient_id") == 17)
    alone = encode_log(coding, patients.filter(pl.col("patient_id") == 17), own_events)
    rows = slice(int(everybody.starts[16]), int(everybody.starts[16] + everybody.lengths[16]))
    for name in (
        "features",
        "token",
        "gap",
        "attributes",
        "types_legal",
        "gap_lower",
        "gap_upper",
        "before",
        "day",
        "rhythm",
        "used_up",
        "weight",
    ):
        assert (getattr(alone, name) == getattr(everybody, name)[rows]).all(), name
    assert (alone.statics[0] == everybody.statics[16]).all()
    assert (
        alone.legal_sets[alone.legal_set[0]] == everybody.legal_sets[everybody.legal_set[16]]
    ).all()


def test_training_sees_the_states_that_sampling_sees() -> None:
    """A drawn log, encoded as a source is, gives back the draws' own states: every choice was legal
    and none is masked out.
    """
    schema, patients = toy_schema(), toy_patients(120)
    model = untrained(schema)
    events = model.sample(patients, np.random.default_rng(3))
    log = encode_log(model.coding, patients, events)
    kind = model.coding.grammar.token_type[log.token]
    assert log.types_legal[np.arange(len(kind)), kind].all()
    fixed = log.gap_lower == log.gap_upper
    assert (log.gap[~fixed] >= 0).all() and (log.gap[fixed] == -1).all()


def test_samples_of_an_untrained_network_are_legal() -> None:
    schema, patients = toy_schema(), toy_patients(3000, 5)
    events = untrained(schema).sample(patients, np.random.default_rng(0))
    assert violations(Grammar(schema), patients, events).is_empty()
    assert events["patient_id"].n_unique() == 3000
    assert events.schema["day"] == pl.Int32 and events["day"].is_between(-200, 2000).all()
    again = untrained(schema).sample(patients, np.random.default_rng(0))
    assert events.equals(again)


def test_no_patients_give_no_events() -> None:
    schema = toy_schema()
    events = untrained(schema).sample(toy_patients(3).head(0), np.random.default_rng(0))
    assert events.is_empty() and "dose" in events.columns


def test_an_empty_table_trains_on_noise_alone(tmp_path: Path) -> None:
    tape = Tape()
    plan = plan_pathways(toy_schema(), SMALL, 200)
    patients = toy_patients(3)
    train.fit(
        toy_schema(),
        patients.head(0),
        toy_events(patients).head(0),
        plan,
        2.0,
        store=MeasurementStore(tmp_path / "counts"),
        tape=tape,
        noise=NoiseStream(),
        checkpoint=tmp_path,
        progress=quiet,
        draw_patients=lambda size: toy_patients(size, 9),
    )
    assert tape.matches(plan.dp_event(2.0))


def test_the_plan_reads_declared_numbers_only_and_survives_json() -> None:
    plan = plan_pathways(toy_schema(), SMALL, 200)
    assert PathwayPlan.from_json(plan.to_json()) == plan
    assert plan.sampling_probability == 60 / 200
    assert plan_pathways(toy_schema(), SMALL, 30).sampling_probability == 1.0
    assert plan.sgd(2.0).expected_batch_size == 60
    sigma = next(iter(plan.counts(2.0).values())).sigma
    weights = [table.weight for table in plan.tables]
    assert sigma >= 2.0 * (sum(weights) / weights[0] / SMALL.calibration_share) ** 0.5
    off = plan_pathways(toy_schema(), dataclasses.replace(SMALL, calibration_share=0.0), 200)
    assert not off.counts(2.0) and off.sgd(2.0).noise_multiplier < plan.sgd(2.0).noise_multiplier


def test_what_ran_is_what_was_planned_also_after_a_resume(tmp_path: Path) -> None:
    plan = plan_pathways(toy_schema(), SMALL, 200)
    tape = Tape()
    fit(tmp_path / "whole", tape=tape)
    assert tape.matches(plan.dp_event(2.0))

    class Killed(Exception):
        pass

    def kill(text: str) -> None:
        if text == "pathway step 10/12":
            raise Killed

    lost = Tape()
    with pytest.raises(Killed):
        fit(tmp_path / "cut", tape=lost, progress=kill)
    assert not lost.matches(plan.dp_event(2.0))
    messages: list[str] = []
    resumed = Tape()
    fit(tmp_path / "cut", tape=resumed, progress=messages.append)
    assert resumed.matches(plan.dp_event(2.0))
    assert "pathway step 10/12, resumed" in messages and "pathway step 5/12" not in messages


def test_a_checkpoint_of_another_mechanism_is_refused_and_holds_no_noise(tmp_path: Path) -> None:
    fit(tmp_path)
    with train.safe_open(tmp_path / train.CHECKPOINT, framework="pt") as stored:
        assert {name.split("/")[0] for name in list(stored.keys())} == {
            "weights",
            "average",
            "first",
            "second",
        }
        assert set(stored.metadata()) == {"step", "mechanism"}
    with pytest.raises(ValueError, match=r"another mechanism|already measured"):
        fit(tmp_path, scale=2.5)


def test_saved_and_loaded_models_draw_the_same(tmp_path: Path) -> None:
    model = fit(tmp_path)
    model.save(tmp_path / "model")
    loaded = PathwayModel.load(tmp_path / "model", toy_schema())
    patients = toy_patients(50, 3)
    assert loaded.log_weights and loaded.sample(patients, np.random.default_rng(1)).equals(
        model.sample(patients, np.random.default_rng(1))
    )


def bigrams(events: pl.DataFrame) -> dict[str, float]:
    token = pl.concat_str([pl.col("type"), pl.col("code").fill_null("")], separator=":")
    pair = pl.concat_str(
        [token, token.shift(-1).over("patient_id").fill_null("END")], separator=">"
    )
    counted = events.select(pair.alias("pair"))["pair"].value_counts(normalize=True)
    return dict(counted.iter_rows())


def distance(a: dict[str, float], b: dict[str, float]) -> float:
    return sum(abs(a.get(key, 0) - b.get(key, 0)) for key in a.keys() | b.keys()) / 2


@pytest.mark.long
def test_transitions_are_learned_at_epsilon_3(tmp_path: Path) -> None:
    """Against legal walks of the untrained network: what the grammar alone knows."""
    schema, patients = toy_schema(nominal_size=2000), toy_patients(2000)
    events = toy_events(patients)
    settings = dataclasses.replace(
        for_size(2000),
        steps=60,
        width=16,
        learning_rate=0.05,
        calibration_patients=500,
        pass_patients=2000,
    )
    plan = plan_pathways(schema, settings, 2000)
    scale, event = calibrate(plan.dp_event, 3.0, 1e-6)
    assert epsilon(event, 1e-6) <= 3.0
    model = train.fit(
        schema,
        patients,
        events,
        plan,
        scale,
        store=MeasurementStore(tmp_path / "counts"),
        tape=Tape(),
        noise=NoiseStream(),
        checkpoint=tmp_path,
        progress=quiet,
        draw_patients=lambda size: toy_patients(size, 9),
    )
    static = toy_patients(2000, 8)
    fresh, learned = bigrams(toy_events(static, 4)), model.sample(static, np.random.default_rng(2))
    legal_only = untrained(schema, settings).sample(static, np.random.default_rng(2))
    # .036 to .055 over ten runs, each with its own noise
    assert distance(fresh, bigrams(learned)) < 0.15 < 0.5 * distance(fresh, bigrams(legal_only))
    assert violations(Grammar(schema), static, learned).is_empty()


def test_candidates_share_their_patients_static_row() -> None:
    schema, patients = counting_little(toy_schema()), toy_patients(40)
    drawn, weight = draw(
        untrained(schema).coding,
        untrained(schema).network,
        (),
        patients,
        3,
        np.random.default_rng(0),
    )
    assert drawn.n == 120 and set(drawn.owner) == set(range(120)) and (weight == 0).all()
    surgery = [v for v, (name, _) in enumerate(Grammar(schema).tokens) if name == "SURGERY"]
    owners = drawn.owner[np.isin(drawn.token, surgery)] // 3
    assert "lung" not in set(patients["site"].gather(owners))


@pytest.mark.parametrize(
    "column",
    [
        Column(
            name="x", kind="continuous", lower=0, upper=10, decimals=1, atoms=(0.0,), nullable=True
        ),
        Column(
            name="x",
            kind="continuous",
            lower=0,
            upper=5_000_000,
            transform="asinh",
            scale=100,
            atoms=(0.0,),
        ),
        Column(name="x", kind="date", lower=15000, upper=15400),
        Column(name="x", kind="categorical", categories=("a", "b"), nullable=True),
    ],
)
def test_decoded_values_fall_into_their_own_cell(column: Column) -> None:
    cells = codec(column, 12)
    codes = np.flatnonzero(cells.legal).repeat(50)
    values = cells.decode(codes, np.random.default_rng(0))
    assert (cells.encode(values) == codes).all()
    if cells.is_numeric:
        numbers = (values.cast(pl.Int32) if column.kind == "date" else values).drop_nulls()
        assert numbers.min() >= column.lower and numbers.max() <= column.upper


def test_waiting_times_stay_within_bin_and_bounds() -> None:
    bins, rng = gaps(toy_log().gap_edges, -200, 2000), np.random.default_rng(0)
    lower, upper = rng.integers(0, 100, 5000), rng.integers(100, 2200, 5000)
    legal = bins.legal(lower, upper)
    picked = np.array([rng.choice(np.flatnonzero(row)) for row in legal])
    days = bins.decode(picked, lower, upper, rng)
    assert (bins.encode(days) == picked).all() and (days >= lower).all() and (days <= upper).all()


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"no setting stepz; there are .*steps"):
        from_mapping({"stepz": 3}, 1000)
    with pytest.raises(ValueError, match="calibration_share"):
        from_mapping({"calibration_share": 1.0}, 1000)
    assert from_mapping({"steps": 7}, 100_000).expected_batch_size == 1024


def test_the_tape_counts_single_steps() -> None:
    step = DpSgd(
        steps=3,
        sampling_probability=0.5,
        l2_clip_norm=1.0,
        noise_multiplier=1.0,
        expected_batch_size=1.0,
    )
    tape = Tape([step.step_event, dpa.SelfComposedDpEvent(step.step_event, 2)])
    assert tape.matches(step.dp_event)
