"""Logs that declare no counted tables: which tables they choose, the facts these are made of, and
what is drawn after them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pathway_cases import column, schema_of, toy_log, toy_patients, toy_schema

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.encode import codec
from pipeline.models.pathway.domain.fact_cells import part_cells
from pipeline.models.pathway.domain.head import Head
from pipeline.models.pathway.domain.pathways import Pathways
from pipeline.models.pathway.domain.picked import paired_rows, picked_rows, static_numbers
from pipeline.models.pathway.domain.race import race
from pipeline.models.pathway.domain.tables import part_size, part_values, table_cells
from pipeline.models.pathway.domain.value_ranges import changes, range_size, ranges
from pipeline.models.pathway.draw.model import PathwayModel, new_model, planned_coding
from pipeline.models.pathway.fit import train
from pipeline.models.pathway.fit.calibration import calibrate, draw_log
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.models.pathway.fit.head_choices import choices_of
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.refusal import Refusal
from pipeline.schema.names import static_fault
from pipeline.schema.values import CountedTable, EventType, Schema, freeze

SMALL = PathwaySettings(
    steps=4,
    expected_batch_size=60,
    width=8,
    calibration_patients=800,
    pass_patients=800,
    pass_steps=20,
    passes=0,
    candidates=4,
)
MOODS = ("low", "fair", "high")


def visits_schema(**changes) -> Schema:
    """An entry, visits and calls with a mood, heat and pills, an end."""
    kinds = (
        EventType(name="ENTRY", attributes=("mood", "heat")),
        EventType(name="VISIT", attributes=("mood", "heat", "pill")),
        EventType(name="CALL", attributes=("mood",)),
        EventType(name="END", codes=("moved", "done"), terminal=True),
    )
    attributes = {
        "mood": column("mood", MOODS, nullable=True),
        "heat": column("heat", kind="continuous", lower=30, upper=42, decimals=1),
        "pill": column("pill", ("no", "yes")),
    }
    log = toy_log(
        anchor="ENTRY",
        first=("ENTRY",),
        types=freeze({kind.name: kind for kind in kinds}),
        attributes=freeze(attributes),
        legal_codes=(),
        deadlines=(),
        lower_day=0,
        max_events=40,
        **changes,
    )
    return schema_of(log, strata=("site",))


def next_mood(mood: str) -> str:
    return MOODS[(MOODS.index(mood) + 1) % 3]


def visits(n: int, seed: int = 0) -> pl.DataFrame:
    """A visit 30 days after the visit before, whatever call came between; moods go round, pills are
    given where the heat is above 38, calls are on the third day after a visit.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(1, n + 1):
        mood = MOODS[rng.integers(3)]
        rows.append((i, 0, "ENTRY", None, mood, 36.5, None))
        for number in range(1, int(rng.integers(4, 9))):
            mood, heat = next_mood(mood), round(float(rng.uniform(36, 40)), 1)
            pill = "yes" if heat > 38 else "no"
            rows.append((i, 30 * number, "VISIT", None, mood, heat, pill))
            if rng.random() < 0.5:
                mood = next_mood(mood)
                rows.append((i, 30 * number + 3, "CALL", None, mood, None, None))
        rows.append((i, rows[-1][1] + 1, "END", "done", None, None, None))
    names = ("patient_id", "day", "type", "code", "mood", "heat", "pill")
    frame = pl.DataFrame(rows, orient="row", schema=names, infer_schema_length=None)
    seq = pl.int_range(pl.len(), dtype=pl.Int32).over("patient_id")
    return frame.with_columns(pl.col("day").cast(pl.Int32), seq=seq)


def plan_of(schema: Schema, size: int = 100_000, **rest) -> PathwayPlan:
    return plan_pathways(schema, SMALL, size, **rest)


def parts_of(plan: PathwayPlan) -> list[tuple[str, ...]]:
    return [table.parts for table in plan.tables]


def encoded(schema: Schema, n: int) -> tuple[PathwayModel, Pathways]:
    model = new_model(schema, plan_of(schema))
    patients = toy_patients(n)
    p = encode_log(model.coding, patients, visits(n)).pathways
    return model, dataclasses.replace(p, own=static_numbers(model.coding, patients))


def test_tables_follow_from_declared_numbers_and_grow_with_them() -> None:
    schema = visits_schema()
    many, few = plan_of(schema), plan_of(schema, 300, expected_scale=6.0)
    assert PathwayPlan.from_json(many.to_json()) == many == plan_of(schema)
    assert set(parts_of(few)) < set(parts_of(many))
    essential = {
        ("length",),
        ("picked before", "picked after"),
        ("picked after", "picked wait"),
        ("picked return VISIT",),
        ("survival", "end"),
        ("count CALL",),
        ("first END",),
        *(("picked type", f"picked value {name}") for name in ("mood", "heat", "pill")),
    }
    assert essential <= set(parts_of(few))
    assert {
        ("site", "count VISIT"),
        ("site", "first END"),
        ("site", "picked value pill"),
        ("picked last mood", "picked value mood"),
        ("picked change heat",),
        ("picked range heat", "picked value pill"),
    } <= set(parts_of(many))
    for plan, scale in ((many, 1.0), (few, 6.0)):
        for table, mechanism in zip(plan.tables, plan.counts(scale).values(), strict=True):
            if table.weight < 2 and "count" not in table.name and "first" not in table.name:
                # no table of those that may be missing is drowned in its noise
                assert plan.nominal_size / table.cells > mechanism.sigma / 6, table.name


def test_declared_tables_are_taken_as_they_are() -> None:
    declared = (CountedTable(parts=("length",)), CountedTable(parts=("site", "first END")))
    schema = visits_schema(counted=declared)
    plan = plan_of(schema)
    assert parts_of(plan) == [table.parts for table in declared]
    coding = planned_coding(schema, plan)
    assert not coding.returns and coding.pair_row is None and coding.rhythm_kinds == []
    off = dataclasses.replace(SMALL, calibration_share=0.0)
    assert plan_pathways(visits_schema(), off, 1000).tables == ()


def test_a_log_of_treatments_chooses_tables_that_can_be_learned() -> None:
    for size, scale in ((200, 10.0), (5_000, 5.0), (2_000_000, 0.1)):
        plan = plan_pathways(toy_schema(), SMALL, size, expected_scale=scale)
        heads = tables_by_choice(planned_coding(toy_schema(), plan), plan.tables)
        assert {"SURGERY", "REGIMEN", "intent", "dose"} <= set(heads)


def test_one_event_is_picked_by_the_pathway_s_own_days_and_types() -> None:
    model, p = encoded(visits_schema(), 300)
    g = model.coding.grammar
    rows, pairs = picked_rows(model.coding, p), paired_rows(model.coding, p)
    assert p.owner[rows].tolist() == p.owner[pairs].tolist() == list(range(300))
    kind = g.token_type[p.token]
    assert not g.terminal[kind[rows]].any() and (p.owner[pairs + 1] == p.owner[pairs]).all()
    # types are picked evenly, and events of a type
    had = [len({int(t) for t in kind[p.owner == i] if not g.terminal[t]}) for i in range(300)]
    shares = np.bincount(kind[rows], minlength=4)[:3] / 300
    assert np.allclose(shares[0], np.mean(1 / np.array(had)), atol=0.1)
    last_of_type = np.array(
        [kind[r] not in kind[r + 1 : p.owner.searchsorted(p.owner[r], "right")] for r in rows]
    )
    is_visit = kind[rows] == g.type_names.index("VISIT")
    assert 0.1 < last_of_type[is_visit].mean() < 0.4  # of 3 to 7 visits
    # a patient's pick is nobody else's matter, and no attribute's
    alone = p.owner == 7
    single = Pathways(
        1, p.owner[alone] * 0, p.token[alone], p.day[alone], p.attributes[alone] * 0, p.own[7:8]
    )
    assert np.flatnonzero(alone)[picked_rows(model.coding, single)[0]] == rows[7]


def test_facts_of_a_picked_event_written_out() -> None:
    model, p = encoded(visits_schema(), 120)
    coding, g = model.coding, model.coding.grammar
    facts = {
        part: part_values(coding, part, p)
        for part in (
            "picked type", "picked value mood", "picked last mood", "picked change mood",
            "picked value heat", "picked range heat", "picked change heat", "picked value pill",
            "picked before", "picked after", "picked wait", "picked return VISIT",
            "picked return CALL",
        )
    }  # fmt: skip
    kind = g.token_type[p.token]
    call, visit = g.type_names.index("CALL"), g.type_names.index("VISIT")
    for i, row in enumerate(picked_rows(coding, p)):
        assert facts["picked type"][i] == 1 + kind[row]
        mood, heat = p.attributes[row, 0], p.attributes[row, 1]
        assert facts["picked value mood"][i] == 1 + mood
        first = kind[row] == g.type_names.index("ENTRY")
        assert facts["picked last mood"][i] == (0 if first else (mood + 1) % 3 + 1)
        assert facts["picked change mood"][i] == (0 if first else 2)
        assert facts["picked value heat"][i] == (0 if kind[row] == call else 1 + heat)
        if kind[row] == call:
            assert facts["picked range heat"][i] == facts["picked change heat"][i] == 0
            assert facts["picked value pill"][i] == 0
    for i, row in enumerate(paired_rows(coding, p)):
        assert facts["picked before"][i] == 1 + kind[row]
        assert facts["picked after"][i] == 1 + kind[row + 1]
        wait = coding.gaps.encode(np.array([p.day[row + 1] - p.day[row]]))[0]
        assert facts["picked wait"][i] == 1 + wait
    assert set(facts["picked return VISIT"]) == {1 + coding.gaps.encode(np.array([30]))[0]}
    has_call = np.bincount(p.owner[kind == call], minlength=120) > 0
    assert ((facts["picked return CALL"] > 0) == has_call).all() and (kind == visit).any()


def test_a_pathway_without_what_is_asked_stands_in_cell_0() -> None:
    model = new_model(visits_schema(), plan_of(visits_schema()))
    end = model.coding.tokens_of(3)[0]
    p = Pathways(3, np.array([1]), np.array([end]), np.array([0]), np.full((1, 3), -1))
    for table in model.tables:
        for part in table.parts:
            if part.startswith("picked"):
                assert part_values(model.coding, part, p).tolist() == [0, 0, 0], part


def test_one_more_patient_moves_every_table_by_one_in_one_cell() -> None:
    schema, n = visits_schema(), 40
    plan = plan_of(schema)
    coding = planned_coding(schema, plan)

    def counts(patients: pl.DataFrame) -> list[np.ndarray]:
        p = encode_log(coding, patients, visits(n)).pathways
        cells = table_cells(coding, plan.tables, patients, p)
        return [
            np.bincount(cell, minlength=t.cells) for cell, t in zip(cells, plan.tables, strict=True)
        ]

    patients = toy_patients(n)
    whole = counts(patients)
    for gone in range(0, n, 5):
        rest = counts(patients.filter(pl.col("patient_id") != gone + 1))
        for table, a, b in zip(plan.tables, whole, rest, strict=True):
            assert len(a) == table.cells and np.abs(a - b).sum() == 1, table.name


def test_every_part_s_cells_have_names() -> None:
    coding = planned_coding(visits_schema(), plan_of(visits_schema()))
    for part in {part for table in plan_of(visits_schema()).tables for part in table.parts}:
        assert len(part_cells(coding, part)) == part_size(coding, part), part


def test_ranges_and_changes_of_values() -> None:
    heat = codec(column("heat", kind="continuous", lower=0, upper=24, decimals=1, atoms=(0,)), 24)
    assert heat.size == 26 and range_size(heat) == 2 + 6
    assert ranges(heat)[:3].tolist() == [0, 1, 2] and ranges(heat)[-1] == 7
    steps = changes(heat)
    assert not steps[0].any() and not steps[:, 0].any()
    assert steps[5, 5] == steps[1, 1] == 9 and steps[5, 6] == 10 and steps[25, 1] == 1
    mood = changes(codec(column("mood", MOODS), 24))
    assert mood[2, 2] == 1 and mood[2, 3] == mood[1, 3] == 2 and mood[0, 1] == 0
    stage = changes(codec(column("stage", MOODS, kind="ordinal"), 24))
    assert stage[1, 1] == 3 and stage[1, 3] == 5 and stage[3, 1] == 1


def test_the_race_is_won_by_who_is_due_first() -> None:
    edges = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0, 400.0])
    shares = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]])
    chances = race(shares, edges, torch.tensor([[0, 0], [0, 25], [25, 5]])).exp()
    assert torch.allclose(chances.sum((1, 2)), torch.ones(3), atol=0.1)
    assert chances[0, 0, 2] > 0.9  # 20 to 30 days from now
    assert chances[1, 1, :2].sum() > 0.9  # five to fifteen days are left
    assert chances[2, 0, 0] > 0.9


def test_heads_see_the_same_in_fitting_and_in_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, patients = visits_schema(), toy_patients(200)
    model = new_model(schema, plan_of(schema))
    asked: dict[str, Counter] = {}
    real = Head.logits

    def remember(head, parts, repeated):
        names = sorted({part for table, _ in head.tables for part in table.parts[:-1]})
        asked.setdefault(head.choice, Counter()).update(
            zip(*(parts[name].tolist() for name in names), strict=True)
        )
        return real(head, parts, repeated)

    monkeypatch.setattr(Head, "logits", remember)
    log = draw_log(model, patients, np.random.default_rng(1))
    for choice, tables in tables_by_choice(model.coding, model.tables).items():
        choices = choices_of(model.coding, choice, tables, patients, log)
        names = sorted({part for table in tables for part in table.parts[:-1]})
        picked = Counter()
        for row, count in enumerate(choices.count):
            if choices.picked[row]:
                picked[tuple(int(choices.parts[name][row]) for name in names)] += int(count)
        assert all(asked[choice][key] >= count for key, count in picked.items()), choice
        if choice in model.coding.attribute_names:
            assert picked.total() <= 200 and picked


def fitted(schema: Schema, folder: Path, n: int = 1500) -> PathwayModel:
    """The model after its counts, with almost no noise, and no gradients."""
    model, patients = new_model(schema, plan_of(schema)), toy_patients(n)
    log = encode_log(model.coding, patients, visits(n))
    noisy = train.measure_tables(
        model,
        log,
        patients,
        0.02,
        store=MeasurementStore(folder),
        tape=Tape(),
        noise=NoiseStream(),
    )
    sigmas = [mechanism.sigma for mechanism in model.plan.counts(0.02).values()]
    train.give(model, noisy, sigmas)
    return calibrate(model, noisy, sigmas, lambda k: toy_patients(k, 9), lambda _: None, "cpu")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    model = fitted(visits_schema(), tmp_path_factory.mktemp("counts"))
    model.save(folder := tmp_path_factory.mktemp("model"))
    loaded = PathwayModel.load(folder, visits_schema())
    patients = toy_patients(600, 8)
    events = loaded.sample(patients, np.random.default_rng(2))
    assert violations(Grammar(visits_schema()), patients, events).is_empty()
    again = model.sample(patients, np.random.default_rng(2))
    assert events.equals(again)
    return events


def test_values_follow_from_the_last_ones_at_every_event(drawn: pl.DataFrame) -> None:
    moods = drawn.filter(pl.col("type") != "END").with_columns(
        last=pl.col("mood").shift(1).over("patient_id"),
        number=pl.int_range(pl.len()).over("patient_id"),
    )
    expected = pl.col("last").replace_strict({mood: next_mood(mood) for mood in MOODS})
    for late in (False, True):  # and not at the second event alone
        some = moods.filter((pl.col("number") > 3) if late else (pl.col("number") == 1))
        assert len(some) > 200 and (some["mood"] == some.select(expected)["last"]).mean() > 0.85


def test_values_follow_from_others_of_the_same_event(drawn: pl.DataFrame) -> None:
    seen = drawn.filter(pl.col("type") == "VISIT")
    # the range around 38 degrees holds both
    assert seen.filter(pl.col("heat") > 38.1)["pill"].eq("yes").mean() > 0.85
    assert seen.filter(pl.col("heat") < 37.9)["pill"].eq("no").mean() > 0.85
    assert drawn.filter(pl.col("type") == "ENTRY")["heat"].is_between(36, 37).mean() > 0.8
    assert seen["heat"].is_between(36.5, 37).mean() < 0.3


def test_a_type_returns_after_its_own_time_whatever_came_between(drawn: pl.DataFrame) -> None:
    days = (
        drawn.filter(pl.col("type") == "VISIT")
        .with_columns(wait=pl.col("day").diff().over("patient_id"))["wait"]
        .drop_nulls()
    )
    assert len(days) > 500 and days.is_between(29, 59).mean() > 0.8
    numbers = drawn.group_by("patient_id").len()["len"]
    assert abs(numbers.mean() - visits(600).group_by("patient_id").len()["len"].mean()) < 2


def test_changes_alone_teach_nothing_and_reserved_names_are_refused() -> None:
    alone = visits_schema(counted=(CountedTable(parts=("picked change heat",)),))
    with pytest.raises(Refusal, match="counts changes; count 'picked value heat'"):
        plan_of(alone)
    late = visits_schema(counted=(CountedTable(parts=("picked value pill", "picked value mood")),))
    with pytest.raises(Refusal, match="'picked value pill' is not known when"):
        plan_of(late)
    assert static_fault("picked type", has_events=True)
