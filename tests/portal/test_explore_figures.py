"""The dashboard's figures equal what pandas and lifelines say of the same rows."""

from __future__ import annotations

from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import pytest
from explore_cases import Clinic, clinic, explored, table
from lifelines import KaplanMeierFitter

from pipeline.catalog import Home
from portal.public.explore import release, state
from portal.public.explore.bands import Bands
from portal.public.explore.counts import Members
from portal.public.explore.evidence import Meter
from portal.public.explore.figures import figures
from portal.public.explore.pathway_facts import steps_of
from portal.public.explore.table import ExploreTable

BOTH = "a.sex=F&a.age.from=40&b.site=North&b.site=&b.height.to=1.8&compare=1"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Home, Clinic, ExploreTable]:
    home = Home(tmp_path_factory.mktemp("explore"))
    rows = clinic(home)
    return home, rows, explored(home)


def answer(made, query: str):
    home, _, patients = made
    published = release.find(home, "clinic-1")
    view = state.read(parse_qsl(query, keep_blank_values=True), patients.dimensions)
    meter = Meter(published.release.estimates.shares, published.card, patients.dimensions)
    bands = Bands(published.release.estimates.survival, patients.dimensions)
    return figures(patients, meter, bands, view)


def chosen(people: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The two cohorts of BOTH, by pandas."""
    is_b = (people["site"].isna() | (people["site"] == "North")) & (people["height"] <= 1.8)
    return {"a": people[(people["sex"] == "F") & (people["age"] >= 40)], "b": people[is_b]}


def test_both_cohorts_have_the_counts_of_pandas(made):
    people = made[1].people
    answered = answer(made, BOTH)
    for side, some in chosen(people).items():
        assert answered["cohorts"][side]["size"] == len(some) > 0
        counts = answered["columns"]["site"][side]["counts"]
        values = [some["site"].isna().sum()]
        values += [(some["site"] == site).sum() for site in ("North", "South & East", "West, far")]
        assert counts == values
        edges = made[2].dimensions["age"].edges
        bars = np.histogram(some["age"], [*edges[:-1], edges[-1] - 0.5])[0].tolist()
        assert answered["columns"]["age"][side]["counts"] == [0, *bars]
        assert answered["columns"]["height"][side]["counts"][0] == some["height"].isna().sum()


def test_a_columns_own_filter_leaves_its_options(made):
    people = made[1].people
    shown = answer(made, "a.sex=F&a.age.from=40")["columns"]["sex"]["a"]
    older = people[people["age"] >= 40]["sex"]
    assert shown["counts"] == [0, (older == "F").sum(), 0]
    assert shown["options"] == [0, (older == "F").sum(), (older == "M").sum()]


def test_survival_is_that_of_lifelines(made):
    people = made[1].people
    survival = answer(made, BOTH)["survival"]
    for curve, some in zip(survival["curves"], chosen(people).values(), strict=True):
        days = (some["left"] - some["joined"]).dt.days
        fit = KaplanMeierFitter().fit(days, some["why"] == "Death")
        assert curve["alive"] == pytest.approx(fit.predict(survival["days"]).tolist(), abs=1e-4)
        assert curve["risk"] == [(days >= tick).sum() for tick in survival["ticks"]]


def test_survival_is_split_by_a_column(made):
    people = made[1].people
    survival = answer(made, "by=sex")["survival"]
    sizes = people["sex"].value_counts()
    assert [curve["patients"] for curve in survival["curves"]] == [sizes["F"], sizes["M"]]
    assert [curve["band"]["low"] for curve in survival["curves"]] == [[0.6], [0.8]]


@pytest.mark.parametrize(
    ("query", "low"),
    [("by=all", 0.7), ("by=all&a.sex=M", 0.8), ("by=all&a.site=North", None), (BOTH, None)],
)
def test_a_band_is_drawn_where_one_is_published(made, query, low):
    band = answer(made, query)["survival"]["curves"][0]["band"]
    assert (band and band["low"][0]) == low


def test_two_groups_together_have_the_mean_of_their_bands(made):
    share = (made[1].people["sex"] == "F").mean()
    band = answer(made, "by=all&a.sex=F&a.sex=M")["survival"]["curves"][0]["band"]
    assert band["low"] == pytest.approx([share * 0.6 + (1 - share) * 0.8], abs=1e-3)


def test_flow_and_waits_are_those_of_the_visits(made):
    rows = made[1]
    some = chosen(rows.people)["a"]
    merged = rows.visits.merge(some, left_on="id", right_on="Number")
    drugs = merged[merged["kind"].isin(["Drug", "Operation"])]
    first = (drugs["date"] - drugs["joined"]).dt.days.groupby([drugs["id"], drugs["kind"]]).min()
    answered = answer(made, BOTH)
    curve = next(c for c in answered["waits"]["curves"] if (c["side"], c["kind"]) == ("a", 1))
    began = [(first.xs("Operation", level=1) <= day).sum() for day in answered["waits"]["days"]]
    assert curve["began"] == pytest.approx([n / len(some) for n in began], abs=1e-4)
    places = {"Drug": 1, "Operation": 2}
    orders = drugs.groupby("id")["kind"].agg(lambda kinds: [places[k] for k in kinds][:3])
    expected = orders.map(tuple).value_counts().to_dict() | {(): len(some) - len(orders)}
    assert {tuple(s): n for s, n in answered["flow"]["a"]["paths"]} == expected


def test_steps_are_read_back():
    assert steps_of(0, 2) == []
    assert steps_of(1 * 9 + 2 * 3 + 1, 2) == [1, 2, 1]


def test_pathways_are_those_of_members_and_others_for_another_pick(made):
    people = made[1].people
    members = set(np.flatnonzero((people["sex"] == "F") & (people["age"] >= 40)) + 1)
    picks = [answer(made, f"{BOTH}&pick={pick}")["pathways"]["a"] for pick in (0, 0, 1)]
    assert {one["n"] for one in picks[0]} <= members
    assert picks[0] == picks[1] != picks[2]
    person = people.iloc[picks[0][0]["n"] - 1]
    days = [event[0] for event in picks[0][0]["events"]]
    assert days == sorted(days) and days[-1] == (person["left"] - person["joined"]).days


def test_the_meter_says_what_the_estimates_say(made):
    people = made[1].people
    words = answer(made, "")["columns"]["sex"]["a"]["words"]
    assert words == "-ri"  # 52% to 55% is near to what is drawn, 30% to 66% is not
    pairs = answer(made, "a.sex=F")["columns"]["site"]["a"]["words"]
    assert pairs[1] == "n"  # F and North
    both = answer(made, "a.sex=F&a.site=South+%26+East&a.site=West%2C+far")["cohorts"]["a"]
    assert (both["word"], both["low"], both["high"]) == ("indicative", 0.15, 0.25)
    few = answer(made, "a.age.from=90")["cohorts"]["a"]
    assert few["size"] == (people["age"] >= 90).sum() and few["word"] == "noise"
    assert answer(made, "a.age.from=30")["cohorts"]["a"]["word"] == "unmeasured"
    assert "word" not in answer(made, "")["cohorts"]["a"]


def test_a_table_without_ids_is_counted(tmp_path):
    home = Home(tmp_path)
    rows = table(home)
    made = explored(home, "table-1")
    view = state.read([("a.colour", "red"), ("a.size.to", "5000")], made.dimensions)
    members = Members(made, view.a)
    chosen = rows[(rows["colour"] == "red") & (rows["size"] <= 5000)]
    assert members.size == len(chosen) > 0
    assert made.ids(members.rows).tolist() == chosen.index.tolist()
    assert made.whole("size").sum() == len(rows)
    assert not made.has_pathways and not made.has_survival


def test_many_chunks_are_one_table(tmp_path, monkeypatch):
    home = Home(tmp_path)
    clinic(home)
    whole = explored(home)
    monkeypatch.setattr("portal.public.explore.chunks.PATIENTS", 70)
    parts = explored(home)
    for name in whole.dimensions:
        assert (whole.whole(name).sum(), parts.patients) == (whole.patients, whole.patients)
    for name in ("end_day", "died", "flow", "first_0", "id"):
        assert (whole._array(name) == parts._array(name)).all()
    query = "SELECT n, day, kind, code FROM events ORDER BY rowid"
    assert whole.rows(query) == parts.rows(query)
