"""What the pathway model learns from counts: facts and their cells, heads, calibration in
passes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pathway_cases import toy_events, toy_patients, toy_schema

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.facts import fact_size, fact_values
from pipeline.models.pathway.domain.tables import table_cells
from pipeline.models.pathway.draw.model import PathwayModel, new_model, planned_coding
from pipeline.models.pathway.fit import encoded_log, heads, train
from pipeline.models.pathway.fit.calibration import calibrate, draw_log
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.models.pathway.fit.head_choices import choices_of
from pipeline.models.pathway.fit.rhythm_logits import rhythm_logits
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import CountedTable, Schema

SMALL = PathwaySettings(
    steps=12,
    expected_batch_size=60,
    width=8,
    calibration_patients=1500,
    pass_patients=1500,
    pass_steps=100,
    candidates=8,
)
COUNTED = (
    ("site", "stage", "combination"),
    ("stage", "survival", "end"),
    ("age", "wait"),
    ("length",),
    ("order",),
    ("others",),
    ("count CYCLE",),
    ("after DIAGNOSIS",),
    ("before DEATH",),
    ("site", "first SURGERY"),
    ("site", "first REGIMEN"),
    ("first REGIMEN", "second REGIMEN"),
    ("before REGIMEN", "first REGIMEN"),
    ("stage", "value intent"),
    ("holder intent", "value intent"),
    ("carrier intent", "value intent"),
    ("value intent", "again intent"),
    ("first REGIMEN", "gap CYCLE"),
    ("first REGIMEN", "later gap CYCLE"),
    ("site", "wait"),
    ("site", "second SURGERY"),
    ("after CYCLE",),
    ("count REGIMEN",),
    ("before DIAGNOSIS",),
    ("before CYCLE",),
    ("after SURGERY",),
)


def counted_schema(*parts: tuple[str, ...], **changes) -> Schema:
    tables = tuple(CountedTable(parts=part) for part in parts or COUNTED)
    return toy_schema(counted=tables, treatments=("SURGERY", "REGIMEN"), **changes)


def measured(
    schema: Schema,
    settings: PathwaySettings,
    patients: pl.DataFrame,
    events: pl.DataFrame,
    folder: Path,
    scale: float = 0.02,
):
    """An untrained model, and tables measured with almost no noise."""
    model = new_model(schema, plan_pathways(schema, settings, 1500))
    log = encode_log(model.coding, patients, events)
    noisy = train.measure_tables(
        model,
        log,
        patients,
        scale,
        store=MeasurementStore(folder),
        tape=Tape(),
        noise=NoiseStream(),
    )
    return model, noisy, [mechanism.sigma for mechanism in model.plan.counts(scale).values()]


def coding_of(schema: Schema) -> Coding:
    return planned_coding(schema, plan_pathways(schema, SMALL, 1500))


def shares(values: pl.Series) -> dict:
    return dict(values.value_counts(normalize=True).iter_rows())


def distance(a: dict, b: dict) -> float:
    return sum(abs(a.get(key, 0) - b.get(key, 0)) for key in a.keys() | b.keys()) / 2


def quiet(_: str) -> None:
    pass


def test_facts_of_a_pathway_written_out() -> None:
    schema = counted_schema()
    coding = coding_of(schema)
    patients = toy_patients(3).with_columns(site=pl.lit("breast"))
    day = [-20, 0, 30, 40, 40, 61, 82, 100, 0, 500]
    types = [
        "REFERRAL",
        "DIAGNOSIS",
        "SURGERY",
        "REGIMEN",
        "CYCLE",
        "CYCLE",
        "REGIMEN_END",
        "DEATH",
        "DIAGNOSIS",
        "CENSOR",
    ]
    codes = [None, None, "biopsy", "B", None, None, None, None, None, "X"]
    events = pl.DataFrame(
        {
            "patient_id": [1] * 8 + [2] * 2,
            "seq": [*range(8), 0, 1],
            "day": day,
            "type": types,
            "code": codes,
            "intent": [None] * 3 + ["palliative"] + [None] * 6,
            "dose": [None] * 10,
        },
        schema_overrides={"seq": pl.Int32, "day": pl.Int32, "dose": pl.Float64},
    )
    pathways = encode_log(coding, patients, events).pathways

    def values_of(fact: str) -> list[int]:
        values = fact_values(coding, fact, pathways)
        assert values.max() < fact_size(coding, fact)
        return values.tolist()

    names = coding.grammar.type_names
    assert values_of("combination") == [3, 0, 0] and values_of("order") == [1 + 2 * 3, 0, 0]
    assert values_of("count CYCLE") == [2, 0, 0] and values_of("length") == [6, 2, 0]
    assert values_of("after DIAGNOSIS") == [
        1 + names.index("SURGERY"),
        1 + names.index("CENSOR"),
        0,
    ]
    assert values_of("before DEATH") == [1 + names.index("REGIMEN_END"), 0, 0] and values_of(
        "before REFERRAL"
    ) == [0, 0, 0]
    assert (
        values_of("first REGIMEN") == [2, 0, 0]
        and values_of("second REGIMEN") == [0, 0, 0]
        and values_of("first SURGERY") == [3, 0, 0]
    )
    assert values_of("value intent") == [1 + 2, 0, 0] and values_of("holder intent") == [2, 0, 0]
    assert values_of("carrier intent") == [1 + names.index("REGIMEN"), 0, 0] and values_of(
        "again intent"
    ) == [0, 0, 0]
    # 21 days: the ninth bin
    assert values_of("gap CYCLE") == [1 + 8, 0, 0] and values_of("later gap CYCLE") == [0, 0, 0]
    assert (
        values_of("end") == [1, 2, 0]
        and values_of("survival") == [1, 3, 0]
        and values_of("wait")[1:] == [16, 16]
    )


def with_cycles(n: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Regimen A every 14 days, at last every 7; B every 21 days. Afterwards the other regimen, out
    of step, with the other intent.
    """
    patients = toy_patients(n).with_columns(site=pl.lit("breast"))
    rows = []
    for i in patients["patient_id"]:
        regimen, other, step, late = ("A", "B", 14, 7) if i % 2 else ("B", "A", 21, 21)
        days = np.cumsum([10, step, step, step, step, late])
        rows += [
            (i, 0, "DIAGNOSIS", None, None),
            (i, 10, "REGIMEN", regimen, "curative"),
            *((i, int(day), "CYCLE", None, None) for day in days),
            (i, 200, "REGIMEN", other, "palliative"),
            (i, 200, "CYCLE", None, None),
            (i, 203, "CYCLE", None, None),
            (i, 900, "CENSOR", "X", None),
        ]
    events = pl.DataFrame(
        rows,
        orient="row",
        schema={
            "patient_id": pl.Int64,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
            "intent": pl.String,
        },
    )
    seq = pl.int_range(pl.len(), dtype=pl.Int32).over("patient_id")
    return patients, events.with_columns(seq=seq, dose=pl.lit(None, pl.Float64))


def test_gaps_are_counted_within_the_first_context() -> None:
    patients, events = with_cycles(2)
    coding = coding_of(counted_schema())
    pathways = encode_log(coding, patients, events).pathways
    first, later = (
        (coding.gaps.edges[v - 1] for v in fact_values(coding, "gap CYCLE", pathways)),
        fact_values(coding, "later gap CYCLE", pathways),
    )
    assert list(first) == [14, 21] and [coding.gaps.edges[v - 1] for v in later] == [7, 21]
    assert fact_values(coding, "again intent", pathways).tolist() == [1 + 2, 1 + 2]


def test_counted_rhythms_are_drawn_before_anything_is_learned(tmp_path: Path) -> None:
    """And the states of training name the same row of rhythms that drawing used."""
    schema = counted_schema(
        ("first REGIMEN", "gap CYCLE"),
        ("first REGIMEN", "later gap CYCLE"),
        ("length",),
        upper_day=50_000,
        max_events=20,
    )
    patients, events = with_cycles(1500)
    model, noisy, sigmas = measured(schema, SMALL, patients, events, tmp_path)
    model.network.rhythms.copy_(
        torch.from_numpy(rhythm_logits(model.coding, model.tables, noisy, sigmas))
    )
    with torch.no_grad():  # a network that has seen nothing rarely gives six cycles
        model.network.choice.bias[model.coding.grammar.type_names.index("CYCLE")] += 4.0
    log = draw_log(model, toy_patients(3000, 5), np.random.default_rng(1))
    usual = {1: 14, 2: 21, 3: 7, 4: 21}  # rows: A and B, later A and B
    for row, days in usual.items():
        is_wait = (log.rhythm == row) & (log.gap >= 0) & (log.gap_upper >= 30)
        assert (
            is_wait.sum() > 20
            and np.mean(np.array(model.coding.gaps.edges)[log.gap[is_wait]] == days) > 0.9
        )
    kind, first = (
        model.coding.grammar.token_type[log.token],
        np.isin(np.arange(len(log.token)), log.starts),
    )
    again = np.append(False, (kind[1:] == kind[:-1]) & ~first[1:]) & (
        kind == model.coding.grammar.type_names.index("CYCLE")
    )
    assert np.array_equal(log.rhythm > 0, again)


def test_rhythms_are_trained_with_kept_over_a_resume_and_saved(tmp_path: Path) -> None:
    schema = counted_schema(("first REGIMEN", "gap CYCLE"), ("length",))
    patients, events = with_cycles(300)
    plan = plan_pathways(
        schema, dataclasses.replace(SMALL, passes=0, calibration_patients=200), 300
    )

    class Killed(Exception):
        pass

    def kill(text: str) -> None:
        if text == "pathway step 6/12":
            raise Killed

    def fit(progress) -> PathwayModel:
        return train.fit(
            schema,
            patients,
            events,
            plan,
            0.02,
            store=MeasurementStore(tmp_path),
            tape=Tape(),
            noise=NoiseStream(),
            checkpoint=tmp_path,
            progress=progress,
            draw_patients=lambda n: toy_patients(n, 9),
            checkpoint_steps=6,
        )

    with pytest.raises(Killed):
        fit(kill)
    messages: list[str] = []
    model = fit(messages.append)
    assert "pathway step 6/12, resumed" in messages
    counted = MeasurementStore(tmp_path)
    noisy = [
        counted.get_or_measure(mechanism, lambda: np.zeros(0, np.int64), NoiseStream())
        for mechanism in plan.counts(0.02).values()
    ]
    expected = rhythm_logits(
        model.coding,
        model.tables,
        noisy,
        [mechanism.sigma for mechanism in plan.counts(0.02).values()],
    )
    assert np.array_equal(model.network.rhythms.numpy(), expected) and expected[1].max() > -0.1
    model.save(tmp_path / "model")
    assert np.array_equal(
        PathwayModel.load(tmp_path / "model", schema).network.rhythms.numpy(), expected
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_a_log_encoded_in_chunks_is_the_same(lazy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    patients, events = odd_cases()
    coding = coding_of(counted_schema(("first REGIMEN", "gap CYCLE"), ("length",)))
    whole = encode_log(coding, patients, events)
    monkeypatch.setattr(encoded_log, "CHUNK", 7)
    parts = encode_log(coding, patients, events.lazy() if lazy else events)
    assert whole.rhythm.any()
    for field in dataclasses.fields(whole):
        assert np.array_equal(getattr(whole, field.name), getattr(parts, field.name)), field.name


def test_heads_see_the_same_in_fitting_and_in_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of a head while drawing are those that its tables are fitted with, for
    first and second events alike.
    """
    tables = (
        ("before REGIMEN", "first REGIMEN"),
        ("first REGIMEN", "second REGIMEN"),
        ("carrier intent", "holder intent", "value intent"),
        ("value intent", "again intent"),
    )
    schema, patients = counted_schema(*tables, max_events=20), toy_patients(400)
    model = new_model(schema, plan_pathways(schema, SMALL, 400))
    requests: dict[str, list] = {}

    def remember(head, parts, repeated):
        own = {part: parts[part] for table, _ in head.tables for part in table.parts[:-1]}
        requests.setdefault(head.choice, []).extend(
            zip(repeated.tolist(), *(own[part].tolist() for part in sorted(own)), strict=True)
        )
        return real(head, parts, repeated)

    real = heads.Head.logits
    monkeypatch.setattr(heads.Head, "logits", remember)
    log = draw_log(model, patients, np.random.default_rng(1))
    for choice, tables_of_choice in heads.tables_by_choice(model.coding, model.tables).items():
        choices = choices_of(model.coding, choice, tables_of_choice, patients, log)
        fitted = Counter()
        for row, count in enumerate(choices.count):
            fitted[
                (
                    bool(choices.number[row] > 0),
                    *(int(choices.parts[part][row]) for part in sorted(choices.parts)),
                )
            ] += int(count)
        firsts = Counter(key for key in requests[choice] if not key[0])
        assert firsts == Counter({key: count for key, count in fitted.items() if not key[0]})
        seconds = {key: count for key, count in fitted.items() if key[0]}
        # drawing asks of third ones, too
        assert seconds and all(
            Counter(requests[choice])[key] >= count for key, count in seconds.items()
        )


def test_a_second_value_follows_from_the_first(tmp_path: Path) -> None:
    schema = counted_schema(("value intent",), ("value intent", "again intent"), ("length",))
    patients, events = with_cycles(1500)
    model, noisy, sigmas = measured(
        schema, dataclasses.replace(SMALL, passes=0), patients, events, tmp_path
    )
    ready = calibrate(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    drawn = (
        ready.sample(toy_patients(2000, 8), np.random.default_rng(2))
        .filter(pl.col("type") == "REGIMEN")
        .with_columns(number=pl.int_range(pl.len()).over("patient_id"))
    )
    assert drawn.filter(pl.col("number") == 0)["intent"].eq("curative").mean() > 0.95
    assert drawn.filter(pl.col("number") == 1)["intent"].eq("palliative").mean() > 0.9


def test_a_patient_is_in_one_cell_of_each_table() -> None:
    patients = toy_patients(300)
    for schema in (toy_schema(), counted_schema()):
        coding, tables = coding_of(schema), plan_pathways(schema, SMALL, 1500).tables
        log = encode_log(coding, patients, toy_events(patients).filter(pl.col("patient_id") > 3))
        for table, cell in zip(
            tables, table_cells(coding, tables, patients, log.pathways), strict=True
        ):
            assert cell.shape == (300,) and cell.min() >= 0 and cell.max() < table.cells


def odd_cases() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Thirty people of all kinds in one log: two regimens with rhythms, ordinary ones, rows in
    orders that none should have, no event at all.
    """
    patients, cycles = with_cycles(30)
    several, ordinary = (
        cycles.filter(pl.col("patient_id") <= 8),
        toy_events(patients).filter(pl.col("patient_id").is_between(9, 16)),
    )
    dirty = [
        [
            ("CYCLE", 900),
            ("CYCLE", 5),
            ("REGIMEN_END", 30),
            ("REGIMEN", 20),
            ("CYCLE", 10),
            ("DEATH", 50),
            ("SURGERY", 60),
            ("DIAGNOSIS", 0),
        ],
        [("CYCLE", 3), ("REGIMEN", 4), ("CYCLE", 5), ("CYCLE", 4), ("DIAGNOSIS", 7), ("CYCLE", 9)],
        [("REGIMEN", 1), ("SURGERY", 2)],
    ]
    rows = [
        (i, at, day, kind, {"REGIMEN": "A", "SURGERY": "biopsy"}.get(kind))
        for i in range(17, 28)
        for at, (kind, day) in enumerate(dirty[i % 3])
    ]
    wrong = pl.DataFrame(
        rows,
        orient="row",
        schema={
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
        },
    )
    wrong = wrong.with_columns(intent=pl.lit(None, pl.String), dose=pl.lit(None, pl.Float64))
    parts = [part.select(ordinary.columns) for part in (ordinary, several, wrong)]
    return patients, pl.concat(parts, how="vertical_relaxed").sort("patient_id", "seq")


def test_one_more_patient_moves_every_table_by_one_in_one_cell() -> None:
    """Whoever it is: a fact that looked at a neighbour's rows would move that neighbour, too."""
    patients, events = odd_cases()
    schema = counted_schema()
    coding, tables = coding_of(schema), plan_pathways(schema, SMALL, 1500).tables

    def counted(some: pl.DataFrame) -> list[np.ndarray]:
        log = encode_log(
            coding,
            some,
            events.join(
                some.select("patient_id"), on="patient_id", how="semi", maintain_order="left"
            ),
        )
        return [
            np.bincount(cell, minlength=table.cells)
            for table, cell in zip(
                tables, table_cells(coding, tables, some, log.pathways), strict=True
            )
        ]

    everybody = counted(patients)
    for left_out in patients["patient_id"]:
        for table, whole, rest in zip(
            tables,
            everybody,
            counted(patients.filter(pl.col("patient_id") != left_out)),
            strict=True,
        ):
            assert np.abs(whole - rest).sum() == 1, f"patient {left_out} in {table.name}"


@pytest.mark.parametrize(
    "parts",
    [
        ("combinations",),
        ("first SURGEON",),
        ("value colour",),
        ("length", "first SURGERY"),
        ("again intent",),
        ("second REGIMEN",),
        ("second REGIMEN", "first REGIMEN"),
        ("before REGIMEN", "second REGIMEN"),
    ],
)
def test_a_part_that_cannot_be_counted_is_named_before_anything_is_charged(
    parts: tuple[str, ...],
) -> None:
    with pytest.raises(ValueError, match=r"events\.counted: "):
        plan_pathways(counted_schema(parts), SMALL, 200)


def test_tables_of_values_alone_leave_nothing_to_calibrate(tmp_path: Path) -> None:
    schema, patients = counted_schema(("value intent",)), toy_patients(60)
    model, noisy, sigmas = measured(
        schema, dataclasses.replace(SMALL, pass_steps=2), patients, toy_events(patients), tmp_path
    )
    ready = calibrate(model, noisy, sigmas, lambda n: toy_patients(60, 9), quiet, "cpu")
    assert (
        ready.log_weights == ()
        and ready.sample(patients, np.random.default_rng(1))["patient_id"].n_unique() == 60
    )


def test_weights_divide_the_budget_of_the_tables() -> None:
    schema = toy_schema(
        counted=(CountedTable(parts=("length",), weight=4.0), CountedTable(parts=("others",)))
    )
    plan = plan_pathways(schema, SMALL, 200)
    heavy, light = plan.counts(3.0).values()
    assert light.sigma == pytest.approx(2 * heavy.sigma, rel=0.01)
    assert 1 / heavy.sigma**2 + 1 / light.sigma**2 == pytest.approx(
        SMALL.calibration_share / 9, rel=0.01
    )


def test_counted_choices_are_not_learned_from_gradients() -> None:
    model = new_model(counted_schema(), plan_pathways(counted_schema(), SMALL, 200))
    learned = {model.coding.grammar.tokens[v][0] for v in model.coding.learned_tokens}
    assert learned == {"CENSOR"} and [
        model.coding.attributes[a].column.name for a in model.coding.learned_attributes
    ] == ["dose"]
    assert {head.choice for head in model.heads} == {"SURGERY", "REGIMEN", "intent"}


@pytest.mark.long
def test_heads_and_passes_bring_an_untrained_network_to_its_counts(tmp_path: Path) -> None:
    schema, patients = counted_schema(), toy_patients(1500)
    events = toy_events(patients)
    model, noisy, sigmas = measured(
        schema, dataclasses.replace(SMALL, passes=3), patients, events, tmp_path
    )
    ready = calibrate(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    static = toy_patients(1500, 8)
    fresh, before, after = (
        toy_events(static, 4),
        *(m.sample(static, np.random.default_rng(2)) for m in (model, ready)),
    )
    assert violations(Grammar(schema), static, after).is_empty()

    def combination(log: pl.DataFrame) -> dict:
        codes = pl.concat_str(
            [
                (pl.col("type") == kind).any().cast(pl.Int8).cast(pl.String)
                for kind in ("SURGERY", "REGIMEN")
            ]
        )
        return shares(log.group_by("patient_id").agg(codes.alias("seen"))["seen"])

    def coded(kind: str, column: str = "code"):
        return lambda log: shares(log.filter(pl.col("type") == kind)[column].fill_null("none"))

    def of_site(site: str):
        return lambda log: shares(
            log.filter(pl.col("type") == "REGIMEN")
            .join(static, on="patient_id")
            .filter(pl.col("site") == site)["code"]
        )

    for measure in (
        combination,
        coded("SURGERY"),
        of_site("breast"),
        of_site("lung"),
        coded("REGIMEN", "intent"),
    ):
        assert distance(measure(fresh), measure(after)) < max(
            0.06, 0.6 * distance(measure(fresh), measure(before))
        )
    assert (
        max(
            distance(measure(fresh), measure(before))
            for measure in (coded("SURGERY"), of_site("breast"))
        )
        > 0.15
    ), "there was something to learn"


@pytest.mark.long
def test_a_pass_teaches_the_network_itself(tmp_path: Path) -> None:
    """Single draws, without the choice among candidates, come nearer to the counts."""
    schema, patients = counted_schema(("length",), ("stage", "survival", "end")), toy_patients(1500)
    events = toy_events(patients)
    model, noisy, sigmas = measured(
        schema, dataclasses.replace(SMALL, passes=3), patients, events, tmp_path
    )
    static, ends = (
        toy_patients(1500, 8),
        lambda log: shares(log.group_by("patient_id").agg(pl.len())["len"]),
    )
    before = distance(ends(events), ends(model.sample(static, np.random.default_rng(2))))
    ready = calibrate(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    single = dataclasses.replace(ready, log_weights=())
    assert (
        distance(ends(events), ends(single.sample(static, np.random.default_rng(2)))) < 0.7 * before
    )


def test_a_model_with_heads_survives_saving(tmp_path: Path) -> None:
    schema, patients = counted_schema(), toy_patients(300)
    model, noisy, sigmas = measured(
        schema,
        dataclasses.replace(SMALL, pass_patients=200, calibration_patients=200, pass_steps=3),
        patients,
        toy_events(patients),
        tmp_path / "counts",
    )
    ready = calibrate(model, noisy, sigmas, lambda n: toy_patients(n, 9), quiet, "cpu")
    ready.save(tmp_path / "model")
    loaded = PathwayModel.load(tmp_path / "model", schema)
    assert loaded.heads and loaded.log_weights
    assert loaded.sample(patients, np.random.default_rng(1)).equals(
        ready.sample(patients, np.random.default_rng(1))
    )
