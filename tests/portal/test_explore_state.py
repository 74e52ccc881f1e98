"""The address of a view: what it says comes back, what a release does not have is refused."""

from __future__ import annotations

from urllib.parse import parse_qsl

import numpy as np
import pytest
from explore_cases import CLINIC

from pipeline.refusal import Refusal
from pipeline.schema.reader import read_schema
from portal.public.explore import state
from portal.public.explore.bins import bar_labels, cells_of, edges_of
from portal.public.explore.dimensions import Dimension, explored


@pytest.fixture(scope="module")
def dimensions(tmp_path_factory):
    path = tmp_path_factory.mktemp("declared") / "clinic.yaml"
    path.write_text(CLINIC, encoding="utf-8")
    return {
        name: Dimension(column, (0.0, 50.0, 100.0) if column.is_numeric else ())
        for name, column in explored(read_schema(path)).items()
    }


def read(text, dimensions):
    return state.read(parse_qsl(text, keep_blank_values=True), dimensions)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.sex=F",
        "a.age.from=18&a.age.to=64&a.site=&a.site=West%2C+far&a.sex=M",
        "a.height=1.62..1.7&b.joined.from=2015-06-01&b.site=South+%26+East&compare=1",
        "compare=1&by=site&with=height&with=joined&pick=17",
        "by=all",
    ],
)
def test_a_view_comes_back_from_its_address(text, dimensions):
    view = read(text, dimensions)
    again = state.query(view, dimensions)
    assert read(again, dimensions) == view
    assert state.query(read(again, dimensions), dimensions) == again


def test_order_and_repetition_do_not_matter(dimensions):
    first = read("a.sex=F&a.sex=M&a.age.from=20", dimensions)
    other = read("a.age.from=20&a.sex=M&a.sex=F&a.sex=F", dimensions)
    assert state.query(first, dimensions) == state.query(other, dimensions)


def test_a_column_is_taken_off(dimensions):
    view = read("a.sex=F&a.age=1..2&b.sex=M&compare=1&with=height&with=sex", dimensions)
    assert state.without(view, "sex") == read("a.age=1..2&compare=1&with=height", dimensions)


def test_empty_fields_of_a_form_say_nothing(dimensions):
    assert read("a.age.from=&a.age.to=&with=&by=&compare=0", dimensions) == read("", dimensions)


@pytest.mark.parametrize(
    "text",
    [
        "a.weight=1",
        "c.sex=F",
        "sex=F",
        "a.sex=X",
        "a.sex='; DROP TABLE patients; --",
        "a.sex.from=1",
        "a.age=40",
        "a.age=40..x",
        "a.age=1..2..3",
        "a.age.from=1e400",
        "a.age.from=nan",
        "a.age.from=99999999999999999999",
        "a.age.from=" + "9" * 5000,
        "a.age.between=4",
        "a.joined.from=2015-02-31",
        "a.joined.from=17",
        "by=age",
        "by=nothing",
        "with=nothing",
        "pick=-1",
        "pick=10000",
        "pick=²",
        "compare=2",
        "utm_source=x",
        "cohort=b",
        "&".join(["a.sex=F"] * 700),
    ],
)
def test_what_a_release_does_not_have_is_refused(text, dimensions):
    with pytest.raises(Refusal):
        read(text, dimensions)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", [18, 25, 93]),
        ("age", [50]),
        ("height", [1.4, 1.77, 2.09]),
        ("joined", [16000, 17000, 17500]),
        ("joined", [16071]),
    ],
)
def test_every_value_is_in_the_bar_that_names_it(name, values, dimensions):
    column = dimensions[name].column
    numbers = np.array(values, float)
    edges = edges_of(column, numbers)
    cells = cells_of(edges, numbers)
    assert list(edges) == sorted(set(edges))
    assert len(bar_labels(column, edges)) == len(set(bar_labels(column, edges))) == len(edges) - 1
    for number, cell in zip(numbers, cells, strict=True):
        assert edges[cell - 1] <= number < edges[cell]
    assert cells_of(edges, np.array([np.nan, -1e9, 1e9])).tolist() == [0, 1, len(edges) - 1]


def test_bars_of_numbers_over_many_sizes_grow(dimensions):
    from dataclasses import replace

    column = replace(dimensions["age"].column, transform="asinh", scale=1.0)
    edges = edges_of(column, np.array([0, 3, 999_999], float))
    assert edges[:4] == (0, 1, 2, 5) and edges[-1] >= 1_000_000
    assert bar_labels(column, edges)[:4] == ("0", "1", "2–4", "5–9")
    below = edges_of(column, np.array([-500, 0, 999_999], float))
    assert list(below) == sorted(set(below)) and below[0] <= -500
