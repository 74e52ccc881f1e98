"""What models learn from rows that are right, wrong, or useless."""

from __future__ import annotations

import polars as pl
import pytest
from attack_cases import LOG, TABLE, Toy, log

from pipeline.evaluation.learners import classifiers
from pipeline.evaluation.utility import COX, Utility, telling, utility
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Column, Implication


def quiet(line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def real() -> tuple[PatientLog, PatientLog]:
    return log(700, 1), log(400, 2)


def by_name(values: list[Utility]) -> dict[tuple[str, str], Utility]:
    return {(one.target, one.model): one for one in values}


@pytest.mark.long
def test_a_fresh_sample_teaches_what_real_rows_do_and_shuffled_rows_nothing(real) -> None:
    fresh = log(700, 3)
    # outcomes of other patients: nothing left to learn
    shuffled = PatientLog(
        fresh.patients.with_columns(pl.col("stage", "ill").shuffle(seed=1)),
        fresh.pathways.with_columns(patient_id=pl.col("patient_id").reverse()),
    )
    good, bad = (by_name(utility(LOG, *real, one, quiet)) for one in (fresh, shuffled))
    assert set(good) == {
        *((target, model) for target in ("stage", "ill") for model in classifiers()),
        ("death", COX),
    }
    for one in good.values():
        assert one.on_real.low < one.on_real.value < one.on_real.high
        assert one.on_synthetic.n == 400
    for model in ("logistic", "random forest", "gradient boosting"):
        one = good["stage", model]
        assert (
            one.on_synthetic.value > 0.75 and abs(one.on_real.value - one.on_synthetic.value) < 0.1
        )
        assert bad["stage", model].on_synthetic.value < 0.65
    assert good["death", COX].on_synthetic.low > 0.55 > bad["death", COX].on_synthetic.value
    assert bad["death", COX].on_real.value == good["death", COX].on_real.value


def test_rows_of_one_class_teach_nothing(real) -> None:
    constant = real[0].patients.with_columns(pl.lit("no").alias("ill"))
    schema = Toy(targets=("ill",))
    values = utility(schema, *real, PatientLog(constant), quiet)
    assert {one.on_synthetic.value for one in values} == {0.5} and len(values) == 6


def test_an_empty_holdout_has_no_utility(real) -> None:
    assert utility(TABLE, real[0], real[1].of(real[1].patients[:0]), real[0], quiet) == []


def test_columns_that_say_the_target_are_left_out() -> None:
    detail = Column(name="detail", kind="categorical", categories=("1a", "1b", "2a"))
    schema = Toy(
        patients={**TABLE.patients, "detail": detail},
        implications=(
            Implication(given="stage", then="detail", allowed={"1": ("1a", "1b"), "2": ("2a",)}),
            Implication(given="stage", then="ill", allowed={"1": ("no",), "2": ("no", "yes")}),
        ),
        equal=(("stage", "age"),),
    )
    assert telling(schema, "stage") == {"detail", "age"}
