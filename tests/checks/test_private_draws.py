"""Every draw takes one path: what the tables cannot hold is left out and said, and tables that
break a rule are refused, prompted or not, by the command and by the model in MLflow.
"""

from __future__ import annotations

import logging
import tarfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipeline.adapters import to_log
from pipeline.checks.private_draws import drawn_tables
from pipeline.checks.synthetic_gate import check_synthetic
from pipeline.draw_plan import plan_of
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.refusal import Refusal
from pipeline.released.pyfunc import DrawingModel
from pipeline.schema.values import Implication

ARCHIVE = Path(__file__).parents[1] / "released" / "data" / "small-release.tar.xz"
LAST_DAY = date(2022, 12, 31)
BEGINS = ("SURGERY", "RADIOTHERAPY")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return Synthesizer.load(folder / "state/released/extracts/small-release/model")


@pytest.mark.long
def test_a_prompted_draw_keeps_every_rule_and_says_what_it_left_out(
    model: Synthesizer, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of({"where": {"AGE": "40..80"}, "begins": BEGINS})
    with caplog.at_level(logging.WARNING):
        (tables,) = drawn_tables(model, 60, seed=4, plan=plan, extract_date=LAST_DAY)
    # a log read from the tables is the log that the gate saw: nothing is there that has no place
    log = to_log(model.schema, tables).log
    assert check_synthetic(model.schema, tables, log, extract_date=LAST_DAY).failures == ()
    assert log.patients["AGE"].is_between(40, 80).all()
    plain = next(iter(model.sample(60, seed=4, partition_rows=60, plan=plan)))
    lost = {
        name: (plain.pathways["type"] == name).sum() - (log.pathways["type"] == name).sum()
        for name in model.schema.events.types
    }
    assert max(lost.values()) > 0  # without `canonical` these were in the tables
    for name, times in lost.items():
        left_out = f"draw: {name} events left out, for the tables have no place for them: {times}\n"
        added = f"draw: {name} events added, for the tables cannot be without them: {-times}\n"
        assert [left_out in caplog.text, added in caplog.text] == [times > 0, times < 0]


def test_a_draw_that_breaks_a_rule_is_refused(model: Synthesizer) -> None:
    """As if the model knew less than the declaration: no woman has a tumour of stage 4 there."""
    rule = Implication(given="GENDER", then="STAGE_GROUP", allowed={"2": ("1", "2", "3")})
    schema = replace(model.schema, implications=(*model.schema.implications, rule))
    strict = replace(model, schema=schema)
    with pytest.raises(Refusal, match=r"break \d+ rule.*STAGE_GROUP.*fewer conditions"):
        women = plan_of({"where": {"GENDER": "2"}})
        list(drawn_tables(strict, 40, seed=1, plan=women, extract_date=LAST_DAY))
    with pytest.raises(Refusal, match="break"):
        DrawingModel(strict).predict(pd.DataFrame({"rows": [40]}), {"extract_date": "2022-12-31"})


def test_the_model_in_mlflow_refuses_an_odd_date(model: Synthesizer) -> None:
    with pytest.raises(Refusal, match="'soon' is no date"):
        DrawingModel(model).predict(pd.DataFrame({"rows": [1]}), {"extract_date": "soon"})
