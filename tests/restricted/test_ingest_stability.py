"""One more patient, with shared keys and ties, changes only that patient's rows (privacy_rules.md,
tests).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_cases import (
    CREDIT_COLUMNS,
    EXTRACT,
    Bench,
    Ingested,
    credit_row,
    participant,
    visit,
    write_cohort,
    write_csv,
)

from audit.stability import FIRST
from audit.stability_registry import read_tables, with_copy
from pipeline import files, params
from pipeline.catalog import Workspace
from pipeline.restricted import validate
from pipeline.schema.reader import read_schema
from pipeline.simulator.simulate import simulate

NEWCOMER = FIRST  # whom `with_copy` adds


def without(frame: pl.DataFrame, patient: object) -> pl.DataFrame:
    return frame.filter(pl.col("patient_id") != patient)


def assert_others_unchanged(before: Ingested, after: Ingested, patient: object) -> None:
    for path in sorted(before.restricted.data.glob("*.parquet")):
        assert without(pl.read_parquet(after.restricted.data / path.name), patient).equals(
            pl.read_parquet(path)
        ), path.name
    for path in sorted(before.restricted.carried.glob("*.parquet")):
        old, new = (
            pl.read_parquet(path),
            without(pl.read_parquet(after.restricted.carried / path.name), patient),
        )
        assert new.sort(new.columns).equals(old.sort(old.columns)), path.name


DIRT = st.dictionaries(
    st.sampled_from(["LIMIT_BAL", "SEX", "AGE", "PAY_0"]),
    st.sampled_from(["", "0", "2", "99", '"', 'a"b', ",", "é", "1e400", "-1", "nan"]),
    max_size=3,
)


@settings(max_examples=8, deadline=None)
@given(
    newcomer=st.lists(
        st.tuples(st.sampled_from([NEWCOMER, NEWCOMER, ""]), DIRT), min_size=1, max_size=3
    ),
    place=st.integers(0, 12),
)
def test_a_newcomer_with_any_dirt_changes_nobody(
    tmp_path_factory: pytest.TempPathFactory,
    newcomer: list[tuple[object, dict[str, str]]],
    place: int,
) -> None:
    root = tmp_path_factory.mktemp("stability")
    rows = [credit_row(n, AGE=str(20 + n % 3)) for n in range(1, 12)] + [
        credit_row(5, AGE="22"),
        credit_row(6, AGE="90"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(root, patch)
        before = bench.ingest(
            "credit_default", write_csv(root / "a" / "uci_credit_card.csv", CREDIT_COLUMNS, *rows)
        )
        more = [
            *rows[:place],
            *(credit_row(patient, **changes) for patient, changes in newcomer),
            *rows[place:],
        ]
        after = bench.ingest(
            "credit_default", write_csv(root / "b" / "uci_credit_card.csv", CREDIT_COLUMNS, *more)
        )
    assert_others_unchanged(before, after, NEWCOMER)


def test_a_log_with_ties_does_not_depend_on_file_order_or_on_others(
    bench: Bench, tmp_path: Path
) -> None:
    visits = [
        visit(n, day, kind, temperature=warm)
        for n in (1, 2)
        for day, kind, warm in (
            ("2012-01-10", "Enrollment", "36.5"),
            ("2012-02-10", "Unscheduled visit", "38.0"),
            ("2012-02-10", "Unscheduled visit", "37.0"),
            ("2012-02-10", "Scheduled visit", "36.0"),
        )
    ]
    before = bench.ingest(
        "uganda_malaria", write_cohort(tmp_path / "a", [participant(1), participant(2)], visits)
    )
    newcomer = [
        visit(NEWCOMER, "2012-02-10", temperature="39"),
        visit(NEWCOMER, "2012-01-10", "Enrollment"),
        visit(NEWCOMER, "2012-02-10", "Unscheduled visit"),
    ]
    people = [participant(NEWCOMER), participant(2), participant(1)]
    after = bench.ingest(
        "uganda_malaria", write_cohort(tmp_path / "b", people, [*reversed(visits), *newcomer])
    )
    assert_others_unchanged(before, after, NEWCOMER)
    assert after.of("events", NEWCOMER).height == 4


@dataclass(frozen=True)
class Registry:
    source: Path
    bench: Bench
    before: Ingested


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("registry")
    simulate(
        150, 3, root / "extract", EXTRACT, clean=True, every_rule=False, progress=lambda *_: None
    )
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(root, patch)
        yield Registry(
            root / "extract", bench, bench.ingest("simulated_pathways", root / "extract")
        )


def twin(registry: Registry) -> int:
    """The patient whom `with_copy` copies."""
    return int(pl.read_csv(registry.source / "sim_sact_regimen.csv")["ENCORE_PATIENT_ID"][0])


def test_a_newcomer_to_the_registry_with_shared_keys_changes_nobody(
    registry: Registry, tmp_path: Path
) -> None:
    """Genes, attendances, prescriptions, drug rows and link numbers bear another's keys; keys that
    lead other tables to a patient are new.
    """
    before, more = (
        registry.before,
        with_copy(read_tables(registry.source), str(twin(registry)), tmp_path / "more"),
    )
    after = registry.bench.ingest("simulated_pathways", more)
    assert_others_unchanged(before, after, NEWCOMER)
    assert (
        after.of("events", NEWCOMER)
        .drop("patient_id")
        .equals(before.of("events", twin(registry)).drop("patient_id"))
    )


def test_shared_keys_of_parents_leave_those_alone_who_do_not_share_them(
    registry: Registry, tmp_path: Path
) -> None:
    """All keys shared: rows that are found through a key are rows of both, and nobody else's."""
    more = with_copy(read_tables(registry.source), str(twin(registry)), tmp_path / "more", ())
    before, after = registry.before, registry.bench.ingest("simulated_pathways", more)
    for name in ("patients", "events"):
        old, new = (
            without(without(getattr(done, name), NEWCOMER), twin(registry))
            for done in (before, after)
        )
        assert new.equals(old)
    # her rows equal the other's: one of each is left to both
    newcomer = after.of("events", NEWCOMER).drop("patient_id")
    assert newcomer.equals(before.of("events", twin(registry)).drop("patient_id"))
    validate_again(after)


def validate_again(done: Ingested) -> None:
    """Validate on what ingest wrote: shared keys stop no run. Only the rebuilt log (clinical rule
    54) may be beyond asking.
    """
    root = Path(__file__).resolve().parents[2]
    declared = read_schema(root / "datasets" / "simulated_pathways.yaml")
    validate.run(
        Workspace(done.restricted.root.parent), params.load(root / "params.yaml"), declared
    )
    results = files.read_json(done.restricted.validation.results)
    assert {rule["rule"] for rule in results["rules"] if rule["status"] == "could not run"} <= {
        "54"
    }
    assert "could not run" not in str(results["suites"])
