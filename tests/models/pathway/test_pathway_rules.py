"""Windows, exclusions, deadlines of a group and largest steps hold in whatever a network draws, and
training sees the same masks as drawing.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from pathway_cases import column, counting_little, toy_log, toy_patients, toy_schema

from pipeline.models.declaration import schema_from_plain, to_plain
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.domain.network import PathwayNetwork
from pipeline.models.pathway.draw.draw import draw
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.draw.start import pathway_start
from pipeline.models.pathway.fit.encoded_log import batch_of, encode_log, encode_pathways
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import (
    CountedTable,
    Deadline,
    EventType,
    Exclusion,
    Schema,
    Window,
    freeze,
)

END = date(2016, 6, 30)
SMALL = PathwaySettings(steps=2, expected_batch_size=20, width=8)
FITNESS = column("fitness", ("0", "1", "2", "3", "4"), kind="ordinal", nullable=True)
RULES = {
    "max_events": 40,
    "windows": (
        Window(event="CYCLE", since=("REGIMEN", "CYCLE"), days=30),
        Window(event="REGIMEN_END", since=("REGIMEN", "CYCLE"), days=30),
        Window(event="SURGERY", since=("DIAGNOSIS",), days=300),
    ),
    "exclusions": (
        Exclusion(types=("REGIMEN",), codes=("B",), group={"site": ("breast",), "stage": (None,)}),
        Exclusion(types=("SURGERY", "REGIMEN", "CENSOR"), group={"site": ("lung",)}),
    ),
    "deadlines": (
        Deadline(event="DIAGNOSIS", after=("REFERRAL",), days=100),
        Deadline(event="DEATH", after=("DIAGNOSIS",), days=0, group={"site": ("lung",)}),
    ),
    "largest_steps": freeze({"fitness": 2}),
}
COUNTED = (
    CountedTable(parts=("site", "value fitness")),
    CountedTable(parts=("first REGIMEN", "gap CYCLE")),
)


def schema_with_rules(**changes) -> Schema:
    log = toy_log()
    types = dict(log.types) | {
        "CYCLE": EventType(name="CYCLE", inside="REGIMEN", attributes=("fitness",))
    }
    attributes = dict(log.attributes) | {"fitness": FITNESS}
    return toy_schema(types=freeze(types), attributes=freeze(attributes), **RULES, **changes)


def wild(schema: Schema, settings: PathwaySettings = SMALL) -> PathwayModel:
    """Untrained, and wild enough to ask for anything; regimens and cycles are common."""
    model = new_model(schema, plan_pathways(schema, settings, 200))
    chance = torch.Generator().manual_seed(1)
    names = model.coding.grammar.type_names
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(std=0.5, generator=chance)
        model.network.choice.bias[names.index("REGIMEN")] += 1
        model.network.choice.bias[names.index("CYCLE")] += 3
    return model


CASES = [
    (schema_with_rules(), SMALL),
    (schema_with_rules(counted=COUNTED), SMALL),
    (
        schema_with_rules(observation_end=("CENSOR", "X")),
        PathwaySettings(steps=2, expected_batch_size=20, width=8, recurrent=True),
    ),
]


@pytest.mark.parametrize(("schema", "settings"), CASES)
def test_what_a_network_draws_keeps_every_rule(schema: Schema, settings: PathwaySettings) -> None:
    patients = toy_patients(400, 3)
    events = wild(schema, settings).sample(patients, np.random.default_rng(1))
    assert violations(Grammar(schema), patients, events).is_empty()
    assert events.filter(pl.col("type") == "CYCLE").height > 100
    ends = events.join(patients, on="patient_id").filter(pl.col("site") == "lung")
    assert set(ends["type"]) <= {"REFERRAL", "DIAGNOSIS", "DEATH"}
    deaths = ends.filter(pl.col("type") == "DEATH")["day"].to_list()
    assert deaths == [0] * ends["patient_id"].n_unique()
    others = events.join(patients, on="patient_id").filter(pl.col("site") != "lung")
    assert set(others["type"]) > {"SURGERY", "REGIMEN", "CENSOR"} and others["day"].max() > 300
    levels = events.filter(pl.col("type") == "CYCLE").drop_nulls("fitness")
    assert levels["fitness"].n_unique() == 5


def test_a_leap_is_named_within_a_regimen_only() -> None:
    schema, patients = schema_with_rules(), toy_patients(1).with_columns(site=pl.lit("colon"))
    events = wild(schema).sample(patients, np.random.default_rng(1)).clear()

    def rules(*cycles: tuple[str, str | None]) -> set[str]:
        rows = [(0, "DIAGNOSIS", None, None), (1, "REGIMEN", "A", None)]
        rows += [(n + 1, kind, "A" if kind == "REGIMEN" else None, value)
                 for n, (kind, value) in enumerate(cycles)]  # fmt: skip
        rows.append((90, "DEATH", None, None))
        log = pl.DataFrame(rows, schema=["day", "type", "code", "fitness"], orient="row")
        log = log.with_columns(patient_id=1, seq=pl.int_range(pl.len()))
        log = pl.concat([events, log], how="diagonal_relaxed")
        return set(violations(Grammar(schema), patients, log)["rule"])

    assert rules(("CYCLE", "0"), ("CYCLE", None), ("CYCLE", "2"), ("CYCLE", "4")) == set()
    assert rules(("CYCLE", "0"), ("CYCLE", None), ("CYCLE", "3")) == {"largest_step"}
    assert rules(("CYCLE", "4"), ("REGIMEN", None), ("CYCLE", "0")) == set()


@pytest.mark.parametrize(("schema", "settings"), CASES)
def test_training_sees_the_masks_of_drawing(schema: Schema, settings: PathwaySettings) -> None:
    patients, model = toy_patients(200, 4), wild(schema, settings)
    coding = model.coding
    pathways, _ = draw(
        coding, model.network, model.heads, patients, 1, np.random.default_rng(2)
    )  # fmt: skip
    log = encode_pathways(coding, patients, pathways)
    kind = coding.grammar.token_type[log.token]
    assert log.types_legal[np.arange(len(kind)), kind].all()
    assert ((log.gap_lower <= log.gap_upper) | ~log.types_legal.any(1)).all()
    place = coding.attribute_place("fitness")
    value = log.attributes[:, place]
    rows = np.flatnonzero(value >= 0)
    assert coding.legal_values(place, log.level[rows])[np.arange(len(rows)), value[rows]].all()
    assert not coding.legal_values(place, log.level[rows])[log.level[rows, 0] == 1, 4:].any()
    stored = encode_log(
        coding, patients, model._frame(patients, pathways, np.random.default_rng(0))
    )
    assert np.array_equal(stored.level, log.level)


def test_gradients_do_not_teach_a_value_that_is_too_far() -> None:
    schema, patients = counting_little(schema_with_rules()), toy_patients(60, 4)
    model = wild(schema)
    events = model.sample(patients, np.random.default_rng(2))
    log = encode_log(model.coding, patients, events)
    batch = batch_of(model.coding, log, np.arange(60), torch.device("cpu"))
    place = model.coding.attribute_place("fitness")
    first = model.network.n_gaps + sum(
        model.coding.attributes[a].size for a in model.coding.learned_attributes if a < place
    )
    near_zero = (batch.level[:, 0] == 1) & (batch.attributes[:, place] > 0)
    assert near_zero.any()
    model.network.zero_grad()
    model.network.row_losses(batch)[near_zero].sum().backward()
    gradient = model.network.values.bias.grad
    assert gradient is not None
    assert gradient[first + 4 : first + 6].abs().max() < 1e-3 * gradient.abs().max()


def test_a_prompt_on_the_start_keeps_every_rule() -> None:
    schema, patients = schema_with_rules(), toy_patients(200, 5)
    model = wild(schema)
    start = pathway_start(model.coding, ["REGIMEN=B", "SURGERY"])
    events, likelihood = model.sample_with_start(patients, start, np.random.default_rng(3))
    assert violations(Grammar(schema), patients, events).is_empty()
    barred = (pl.col("site") == "lung") | ((pl.col("site") == "breast") & pl.col("stage").is_null())
    assert (likelihood[patients.select(barred.fill_null(False)).to_series().to_numpy()] == 0).all()
    assert (likelihood > 0).any()


def test_a_saved_declaration_keeps_the_rules_and_an_old_one_has_none() -> None:
    schema = schema_with_rules()
    assert schema_from_plain(to_plain(schema)).events == schema.events
    plain = to_plain(toy_schema())
    assert not {"windows", "exclusions", "largest_steps"} & set(plain["events"])
    assert "group" not in plain["events"]["deadlines"][0]
    assert schema_from_plain(plain).events == toy_schema().events


def near_the_end(events: pl.DataFrame, patients: pl.DataFrame, days: int) -> float:
    """Share of treatments in the last days before the end of observation."""
    own = events.filter(pl.col("type").is_in(["SURGERY", "REGIMEN", "CYCLE"]))
    dated = own.join(patients, on="patient_id").select(
        left=(pl.lit(END) - pl.col("diagnosed")).dt.total_days() - pl.col("day")
    )
    return float((dated["left"] < days).mean())


def test_events_do_not_crowd_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that would go on with cycles every three weeks, whatever is left: few are in the
    last days; without the offsets those that come too late would all be there.
    """
    schema = toy_schema(observation_end=("CENSOR", "A"), max_events=300)
    patients = toy_patients(200, 6)
    model = new_model(schema, plan_pathways(schema, SMALL, 200, observed_until=END))
    names = model.coding.grammar.type_names
    bias = {"REGIMEN": 2, "CYCLE": 5, "REGIMEN_END": -5, "DEATH": -5}
    with torch.no_grad():
        for name, value in bias.items():
            model.network.choice.bias[names.index(name)] += value
        model.network.values.bias[model.coding.gaps.encode(np.array([21]))[0]] += 6
    share = near_the_end(model.sample(patients, np.random.default_rng(1)), patients, 8)
    offsets = PathwayNetwork.end_offsets
    monkeypatch.setattr(
        PathwayNetwork, "end_offsets", lambda *given: torch.zeros_like(offsets(*given))
    )
    crowd = near_the_end(model.sample(patients, np.random.default_rng(1)), patients, 8)
    assert 0 < share < 0.02 and crowd > 3 * share


def test_the_offsets_are_the_chances_of_coming_too_late() -> None:
    schema = counting_little(toy_schema(observation_end=("CENSOR", "A")))
    model = new_model(schema, plan_pathways(schema, SMALL, 200, observed_until=END))
    network, gaps = model.network, model.coding.gaps
    names = model.coding.grammar.type_names
    with torch.no_grad():
        network.values.weight.zero_()
        network.values.bias.zero_()
        network.values.bias[: network.n_gaps][gaps.encode(np.array([21]))[0]] = 50.0  # 21 days
    types = torch.randn(5, network.n_types, generator=torch.Generator().manual_seed(2))
    legal = torch.ones(5, network.n_types, dtype=torch.bool)
    legal[4, names.index("CENSOR")] = False
    left = torch.tensor([0, 20, 21, 400, 20])
    ahead = torch.zeros(5, 0, dtype=torch.long)
    hidden = torch.zeros(5, 8)
    answer = network.end_offsets(types, legal, hidden, left, ahead, None)
    chances = (types + answer).softmax(1)
    end = names.index("CENSOR")
    assert torch.allclose(chances[:2, end], torch.ones(2), atol=1e-4)  # nothing else fits
    assert torch.allclose(chances[2:4], types[2:4].softmax(1), atol=1e-4)  # all fit
    assert answer[4, end] == 0  # an end that is not legal takes nothing
