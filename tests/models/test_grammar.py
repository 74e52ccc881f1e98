"""Legality: a pathway inside the masks is always legal and always ends; every kind of breach is
named.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pathway_cases import column, schema_of, toy_events, toy_log, toy_patients, toy_schema

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.tracker import open_tokens, options, start, step
from pipeline.models.grammar.violations import violations
from pipeline.schema.values import (
    Deadline,
    EventLog,
    EventType,
    Exclusion,
    LegalCodes,
    Window,
    freeze,
)


@st.composite
def declarations(draw: st.DrawFn) -> EventLog:
    """Random event logs, contradictory ones included: Grammar refuses those."""
    middle = [f"M{i}" for i in range(draw(st.integers(1, 4)))]
    ends = [f"END{i}" for i in range(draw(st.integers(1, 2)))]
    kinds = []
    for name in middle:
        relation = draw(st.sampled_from(["inside", "closes", "none", "none"]))
        kinds.append(
            EventType(
                name=name,
                codes=draw(st.sampled_from([(), ("a",), ("a", "b", "c")])),
                at_most=draw(st.sampled_from([None, 1, 2])),
                **({} if relation == "none" else {relation: draw(st.sampled_from(middle))}),
            )
        )
    kinds += [
        EventType(name=name, terminal=True, codes=draw(st.sampled_from([(), ("x", "y")])))
        for name in ends
    ]
    names = [kind.name for kind in kinds]
    subset = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    legal = []
    for kind in kinds:
        if kind.codes and draw(st.booleans()):
            codes = st.lists(st.sampled_from(kind.codes), unique=True).map(tuple)
            legal.append(
                LegalCodes(
                    type=kind.name,
                    given="site",
                    allowed=draw(
                        st.dictionaries(st.sampled_from(["breast", "colon", "lung"]), codes)
                    ),
                )
            )
    groups = st.fixed_dictionaries(
        {"site": st.sampled_from([("breast",), ("colon", "lung")])},
        optional={"stage": st.sampled_from([("1", None), ("2", "3")])},
    )
    deadlines = draw(
        st.lists(
            st.builds(
                Deadline,
                event=st.sampled_from(names),
                after=subset.map(tuple),
                days=st.integers(0, 40),
                group=st.one_of(st.none(), groups),
            ),
            max_size=3,
        )
    )
    windows = st.builds(
        Window,
        event=st.sampled_from(names),
        since=subset.map(tuple),
        days=st.integers(0, 40),
    )
    exclusions = st.builds(
        Exclusion,
        types=subset.map(tuple),
        group=groups,
        codes=st.sampled_from([None, None, ("a", "b"), ("x",)]),
    )
    return toy_log(
        anchor=draw(st.sampled_from([None, *middle])),
        max_events=draw(st.integers(2, 9)),
        first=tuple(draw(st.one_of(st.just([]), subset))),
        types=freeze({kind.name: kind for kind in kinds}),
        attributes=freeze({}),
        legal_codes=tuple(legal),
        deadlines=tuple(deadlines),
        windows=tuple(draw(st.lists(windows, max_size=3))),
        exclusions=tuple(draw(st.lists(exclusions, max_size=2))),
        lower_day=draw(st.sampled_from([-50, -1, 0])),
        upper_day=draw(st.sampled_from([0, 1, 5, 400])),
    )


def random_events(grammar: Grammar, patients: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Uniform choices among what is offered, extremes of the legal days included."""
    rng, tracker, rows = np.random.default_rng(seed), start(grammar, patients), []
    for _ in range(grammar.log.max_events + 1):
        now = options(grammar, tracker)
        tokens = open_tokens(tracker) & now.types[:, grammar.token_type]
        going = ~tracker.has_ended
        assert tokens[going].any(1).all(), "a pathway that has not ended must have somewhere to go"
        assert not tokens[~going].any()
        if not going.any():
            return pl.DataFrame(
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
        token = np.array([rng.choice(np.flatnonzero(ok)) if ok.any() else 0 for ok in tokens])
        kind, every = grammar.token_type[token], np.arange(len(token))
        lower, upper = now.lower[every, kind], now.upper[every, kind]
        extreme = np.where(rng.random(len(token)) < 0.5, lower, upper)
        day = np.where(
            rng.random(len(token)) < 0.5, extreme, rng.integers(lower, np.maximum(upper, lower) + 1)
        )
        for i in np.flatnonzero(going):
            rows.append(
                (
                    int(patients["patient_id"][int(i)]),
                    int(tracker.used[i]),
                    int(day[i]),
                    *grammar.tokens[token[i]],
                )
            )
        ended = tracker.has_ended.copy()
        step(grammar, tracker, token, day)
        tracker.has_ended |= ended
    raise AssertionError("a pathway passed max_events")


END_DUE_BEFORE_THE_ANCHOR = toy_log(
    anchor="M1",
    max_events=3,
    first=(),
    attributes=freeze({}),
    legal_codes=(),
    deadlines=(Deadline(event="END", after=("M0",), days=0),),
    lower_day=-50,
    upper_day=0,
    types=freeze(
        {
            "M0": EventType(name="M0"),
            "M1": EventType(name="M1"),
            "END": EventType(name="END", terminal=True),
        }
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=declarations(), seed=st.integers(0, 2**32 - 1))
@example(log=END_DUE_BEFORE_THE_ANCHOR, seed=0)
def test_a_walk_inside_the_masks_ends_and_breaks_nothing(log: EventLog, seed: int) -> None:
    try:
        grammar = Grammar(schema_of(log))
    except ValueError as refused:
        assert "events of toy" in str(refused)
        return
    patients = toy_patients(12, seed % 1000)
    events = random_events(grammar, patients, seed)
    breaches = violations(grammar, patients, events)
    assert breaches.is_empty(), (
        breaches,
        events.filter(pl.col("patient_id") == breaches["patient_id"][0]),
    )


def test_toy_log_is_legal() -> None:
    patients = toy_patients(300)
    assert violations(Grammar(toy_schema()), patients, toy_events(patients)).is_empty()


RULES = {
    "windows": (
        Window(event="CYCLE", since=("REGIMEN", "CYCLE"), days=30),
        Window(event="SURGERY", since=("DIAGNOSIS",), days=300),
    ),
    "exclusions": (
        Exclusion(types=("REGIMEN",), group={"site": ("breast",), "stage": (None,)}, codes=("B",)),
        Exclusion(types=("CENSOR",), group={"site": ("lung",)}),
    ),
    "deadlines": (
        Deadline(event="DIAGNOSIS", after=("REFERRAL",), days=100),
        Deadline(event="DEATH", after=("DIAGNOSIS",), days=900, group={"stage": (None, "1")}),
    ),
}
LEGAL = [
    (-10, "REFERRAL", None),
    (0, "DIAGNOSIS", None),
    (5, "SURGERY", "biopsy"),
    (20, "REGIMEN", "A"),
    (20, "CYCLE", None),
    (41, "CYCLE", None),
    (60, "REGIMEN_END", None),
    (400, "DEATH", None),
]


def broken(*changes: tuple[int, tuple | None]) -> list[tuple]:
    """LEGAL with events replaced (or removed by None)."""
    events = list(LEGAL)
    for at, event in sorted(changes, key=lambda change: -change[0]):
        events[at : at + 1] = [] if event is None else [event]
    return events


@pytest.mark.parametrize(
    ("rule", "pathway"),
    [
        (None, LEGAL),
        ("unknown_type", broken((2, (5, "MAGIC", None)))),
        ("unknown_code", broken((2, (5, "SURGERY", "haircut")))),
        ("unknown_code", broken((4, (20, "CYCLE", "1")))),
        ("legal_codes", broken((2, (5, "SURGERY", "colectomy")))),
        ("order", broken((2, (41, "SURGERY", "biopsy")))),
        ("order", broken((5, (20, "SURGERY", "biopsy")))),
        ("first", LEGAL[2:]),
        ("anchor_missing", broken((1, None))),
        ("anchor_day", broken((1, (1, "DIAGNOSIS", None)))),
        ("at_most", broken((2, (0, "DIAGNOSIS", None)))),
        ("inside", broken((3, None))),
        ("closes", broken((5, (41, "REGIMEN_END", None)))),
        ("terminal_missing", LEGAL[:-1]),
        ("after_terminal", [*LEGAL, (401, "SURGERY", "biopsy")]),
        (
            "max_events",
            broken(*[(5, (41, "CYCLE", None))])[:5] + [(41, "CYCLE", None)] * 9 + LEGAL[-1:],
        ),
        ("deadline", broken((0, (-150, "REFERRAL", None)))),
        ("day_bounds", broken((7, (2001, "DEATH", None)))),
    ],
)
def test_each_breach_is_named(rule: str | None, pathway: list[tuple]) -> None:
    patients = toy_patients(1).with_columns(pl.lit("breast").alias("site"))
    breaches = set(violations(Grammar(toy_schema()), patients, events_of(pathway))["rule"])
    assert (rule in breaches) if rule else not breaches, breaches


def events_of(pathway: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (
                1,
                seq,
                *event,
                "curative" if event[1] == "REGIMEN" else None,
                1.0 if event[1] == "REGIMEN_END" else None,
            )
            for seq, event in enumerate(pathway)
        ],
        orient="row",
        schema={
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
            "intent": pl.String,
            "dose": pl.Float64,
        },
    )


@pytest.mark.parametrize(
    ("rule", "site", "stage", "pathway"),
    [
        (None, "breast", None, LEGAL),
        (None, "breast", "3", broken((7, (1900, "DEATH", None)))),
        ("deadline", "breast", None, broken((7, (901, "DEATH", None)))),
        ("deadline", "breast", "1", broken((7, (400, "CENSOR", "A")))),
        ("legal_codes", "lung", "3", broken((2, None), (7, (400, "CENSOR", "X")))),
        (None, "colon", "3", broken((7, (400, "CENSOR", "X")))),
        ("legal_codes", "breast", None, broken((3, (20, "REGIMEN", "B")))),
        (None, "breast", "2", broken((3, (20, "REGIMEN", "B")))),
        ("window", "breast", "2", broken((5, (51, "CYCLE", None)))),
        ("window", "breast", "2", broken((4, None), (5, (51, "CYCLE", None)))),
        (None, "breast", "2", broken((5, (50, "CYCLE", None)))),
        ("window", "breast", "2", broken((2, None), (6, (301, "SURGERY", "biopsy")))),
        (None, "breast", "2", broken((2, None), (6, (300, "SURGERY", "biopsy")))),
        (
            None,
            "breast",
            "2",
            [*LEGAL[:6], (200, "REGIMEN", "A"), (200, "CYCLE", None), *LEGAL[7:]],
        ),
    ],
)
def test_breaches_of_windows_groups_and_exclusions_are_named(
    rule: str | None, site: str, stage: str | None, pathway: list[tuple]
) -> None:
    patients = toy_patients(1).with_columns(
        pl.lit(site).alias("site"), pl.lit(stage, pl.String).alias("stage")
    )
    breaches = set(violations(Grammar(toy_schema(**RULES)), patients, events_of(pathway))["rule"])
    assert breaches == ({rule} if rule else set())


def test_attributes_and_missing_patients_are_checked() -> None:
    grammar, patients = Grammar(toy_schema()), toy_patients(50)
    events = toy_events(patients)
    with_dose = events.with_columns(
        pl.when(pl.col("type") == "CYCLE").then(1.0).otherwise("dose").alias("dose")
    )
    assert set(violations(grammar, patients, with_dose)["rule"]) == {"attribute"}
    too_much = events.with_columns(pl.col("dose") * 3)
    assert set(violations(grammar, patients, too_much)["rule"]) == {"attribute"}
    assert set(violations(grammar, patients, events.filter(pl.col("patient_id") != 7))["rule"]) == {
        "no_events",
        "anchor_missing",
    }
    assert "unknown_patient" in set(
        violations(grammar, patients.filter(pl.col("patient_id") != 7), events)["rule"]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"deadlines": (Deadline(event="CYCLE", after=("SURGERY",), days=3),)},
            "needs an open REGIMEN",
        ),
        (
            {"deadlines": (Deadline(event="REFERRAL", after=("SURGERY",), days=0),)},
            "stands before it",
        ),
        (
            {"windows": (Window(event="DEATH", since=("SURGERY",), days=3),)},
            "DEATH has a window",
        ),
        (
            {"windows": (Window(event="DIAGNOSIS", since=("REFERRAL",), days=3),)},
            "DIAGNOSIS has a window",
        ),
        (
            {"windows": (Window(event="REGIMEN", since=("SURGERY",), days=3),)},
            "others happen inside of it",
        ),
        ({"max_events": 2}, "too small"),
        ({"upper_day": -1}, "hold no place"),
        (
            {
                "types": freeze(
                    {
                        "END": EventType(name="END", terminal=True),
                        "DIAGNOSIS": EventType(name="DIAGNOSIS"),
                    }
                ),
                "first": (),
                "deadlines": (),
                "legal_codes": (),
            },
            "declared last",
        ),
    ],
)
def test_contradictory_declarations_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Grammar(
            schema_of(
                toy_log(**changes),
                (column("site", ("breast",)), column("diagnosed", kind="date", lower=0, upper=9)),
            )
        )
