"""Frozen mechanisms (privacy_rules.md, *Tests*): with all mechanisms' outputs replaced by made-up
answers, unrelated extracts give the same released bytes, references, MLflow entries and log lines.
Whatever else of the rows came through would differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ruamel.yaml import YAML

from audit import people
from audit.answers import Answers, answering, confirmation_by_a_person
from audit.findings import Check, Finding
from audit.hurry import few_steps
from audit.visible import Snapshot, differences, listening, settle_database, take_snapshot
from pipeline import files, params
from pipeline.catalog import Extract, Home, Workspace, project_root
from pipeline.dp.events import canonical_string
from pipeline.environment import at_home
from pipeline.ledger import Ledger
from pipeline.released import sample
from pipeline.runs import programs, version_stores, workspace
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema
from pipeline.services import tracking
from pipeline.simulator.simulate import simulate
from pipeline.stages import STAGES

RELEASE = "audit-1"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SMALL: Mapping[str, Mapping[str, Any]] = {
    "table": {
        "codes": 40,
        "steps": 15,
        "max_bins": 6,
        "engine": "dp-ctgan",
        "network_steps": 5,
        "critic_share": 0.1,
        "critic_steps": 3,
        "critic_batch": 50,
    },
    "pathway": {
        "steps": 4,
        "expected_batch_size": 60,
        "width": 8,
        "calibration_patients": 100,
        "passes": 1,
        "pass_patients": 100,
        "pass_steps": 2,
        "candidates": 2,
        "pass_candidates": 2,
    },
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is run: a declared dataset; `declaration`: its text, where it is none of the
    project's. dvc: whether releases go through DVC.
    """

    dataset: str
    declaration: str | None = None
    dvc: bool = True
    train: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: SMALL)


REGISTRY = Way(dataset="simulated_pathways")
SAMPLE_POPULATION = Way(dataset=people.DATASET, declaration=people.DECLARATION, dvc=False)


@dataclass(frozen=True, eq=False)
class FrozenRun:
    """One run of all stages: what is visible of it, what was asked, and what the ledger holds
    for it.
    """

    snapshot: Snapshot
    answers: Answers
    reserved: str  # canonical event


def run_frozen(way: Way, folder: Path, source: Path, score: float) -> FrozenRun:
    """All stages in a home of its own, with made-up answers. score: of all figures in the
    restricted report. Raises what a stage raises.
    """
    home, answers = Home(folder / f"home of {source.name}"), Answers()
    with prepared_home(way, home):
        with few_steps(), answering(answers), listening() as lines:
            run_stages(way, home, source, score)
        reservation = Ledger(home.ledger).reservation(RELEASE)
        assert reservation is not None
        return FrozenRun(take_snapshot(home, lines), answers, canonical_string(reservation.event))


@contextmanager
def prepared_home(way: Way, home: Home) -> Iterator[None]:
    """`home` is the state, made here; the clock of the ledger stands still; somebody may edit the
    code between two runs.
    """
    home.root.mkdir(parents=True)
    if way.declaration is not None:
        files.write_text(home.root / "datasets" / f"{way.dataset}.yaml", way.declaration)
    write = sample.write_database

    def write_settled(schema: Schema, extract: Extract, views: Mapping[str, str]) -> None:
        write(schema, extract, views)
        settle_database(extract.database)

    with ExitStack() as patches:
        patches.enter_context(at_home(home.root))
        patches.enter_context(
            patch("pipeline.ledger.chain.datetime", SimpleNamespace(now=lambda _: MOMENT))
        )
        patches.enter_context(patch("pipeline.ledger.chain.new_salt", lambda: "0" * 32))
        patches.enter_context(patch("pipeline.restricted.train.new_token", lambda: "0" * 32))
        # of a random key, and so different in every home, whatever the rows
        patches.enter_context(
            patch("pipeline.restricted.ingest.key_check.fingerprint", lambda _: "0" * 64)
        )
        # as of confidential data: a person confirms, whoever is in the source
        patches.enter_context(
            patch("pipeline.restricted.confirm.answers_for_itself", lambda _: False)
        )
        patches.enter_context(patch("pipeline.restricted.confirm._ask", confirmation_by_a_person))
        patches.enter_context(patch.object(programs, "code_version", lambda _: "one version"))
        patches.enter_context(patch.object(sample, "write_database", write_settled))
        if not way.dvc:
            patches.enter_context(patch.object(version_stores, "dvc", lambda *arguments, cwd: None))
        yield


def run_stages(way: Way, home: Home, source: Path, score: float | None = None) -> Workspace:
    """All stages in this process, as `python -m pipeline <stage>` runs them, in a workspace of
    their own.
    """
    settings = YAML(typ="safe").load((project_root() / "params.yaml").read_text(encoding="utf-8"))
    settings["train"] |= {**way.train, "device": "cpu", "checkpoint_steps": 1}
    settings["evaluate"]["max_rows"] = 100
    YAML().dump(settings, home.root / "params.yaml")
    run = workspace.make(
        home,
        workspace.Request(
            release_id=RELEASE,
            dataset=way.dataset,
            source=str(source),
            label="one label",
            extract_date=date(2022, 12, 31),
            rows=60,
        ),
    )
    text = run.params.read_text(encoding="utf-8").splitlines()
    run.params.write_text(
        "\n".join("  data_id: fixed" if line.startswith("  data_id:") else line for line in text)
        + "\n",
        encoding="utf-8",
    )
    schema = read_schema(run.dataset)
    _open(home, schema)
    with contextlib.chdir(run.root):
        for name, stage in STAGES.items():
            clock = monotonic()
            import_module(stage.module).run(run, params.load(run.params), read_schema(run.dataset))
            tracking.note(
                run, stage=name, started=MOMENT, seconds=monotonic() - clock, status="FINISHED"
            )
            if name == "evaluate" and score is not None:
                _say_everywhere(score, run.restricted.report.root)
    return run


def _say_everywhere(score: float, report: Path) -> None:
    """Puts one number in the place of all figures of the report, so that whatever decides by them
    decides differently in another run.
    """

    def with_score(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: with_score(item) for key, item in value.items()}
        if isinstance(value, list):
            return [with_score(item) for item in value]
        return score if isinstance(value, int | float) and not isinstance(value, bool) else value

    files.write_json(report / "figures.json", with_score(files.read_json(report / "figures.json")))


def _open(home: Home, schema: Schema) -> None:
    facts = schema.population
    home.state.mkdir(parents=True, exist_ok=True)
    Ledger(home.ledger).open_population(
        facts.name,
        universe=facts.universe,
        nominal_size=facts.nominal_size,
        epsilon=facts.epsilon,
        delta=facts.delta,
        ceiling_epsilon=facts.ceiling_epsilon,
        kind=facts.kind,
        reason="an audit",
        by="audit",
    )


def difference(first: FrozenRun, other: FrozenRun) -> str | None:
    """What tells two runs apart, in words; None where nothing does and each ran exactly what was
    charged.
    """
    if [(a.mechanism, a.shape) for a in first.answers.runs] != [
        (a.mechanism, a.shape) for a in other.answers.runs
    ]:
        return "which mechanisms run, or over how many cells, depends on rows"
    if names := differences(first.snapshot, other.snapshot):
        return f"{len(names)} visible things depend on rows, such as {', '.join(names[:5])}"
    if any(canonical_string(one.answers.event) != one.reserved for one in (first, other)):
        return "the mechanisms that ran are not the ones that the ledger was charged for"
    return None


def compared(runs: Iterable[FrozenRun]) -> Finding:
    """Whether all of them look alike. Stops at the first that does not."""
    rest = iter(runs)
    first, n_runs = next(rest), 1
    for other in rest:
        n_runs += 1
        if reason := difference(first, other):
            return Finding(holds=False, message=reason)
    figures = {
        "extracts": n_runs,
        "mechanisms": len(first.answers.runs),
        "visible": len(first.snapshot),
    }
    return Finding(
        holds=True,
        figures=figures,
        message=(
            f"{n_runs} extracts, the same answers of {len(first.answers.runs)} runs of"
            f" mechanisms: all {len(first.snapshot)} visible things are equal, and what ran is what"
            " was charged"
        ),
    )


def _registry(folder: Path) -> Finding:
    def frozen(score: float, n_patients: int, seed: int) -> FrozenRun:
        source = folder / f"{n_patients} patients"
        simulate(n_patients, seed, source, people.EXTRACT, progress=lambda _: None)
        return run_frozen(REGISTRY, folder, source, score)

    return compared(frozen(*one) for one in ((1.0, 150, 11), (0.0, 90, 77)))


def _sample_population(folder: Path) -> Finding:
    return compared(
        run_frozen(SAMPLE_POPULATION, folder, extract.write(folder / name), score)
        for (name, extract), score in zip(unrelated().items(), (1.0, 0.0, 1e9), strict=True)
    )


def unrelated() -> dict[str, people.Extract]:
    """Three extracts that have nothing in common: ordinary patients, others with every oddity,
    nobody.
    """
    odd = sum(people.odd_patients(5001).values(), people.extract(40, 2, first=901))
    return {
        "ordinary patients": people.extract(80, 1),
        "nobody": people.Extract(),
        "odd patients": odd,
    }


CHECKS: tuple[Check, ...] = (
    Check(
        name="a registry, frozen",
        family="frozen mechanisms",
        run=_registry,
        asks=(
            "with all mechanisms' outputs made up, two unrelated registry extracts give the same"
            " released bytes, MLflow entries and log lines"
        ),
    ),
    Check(
        name="a sample population, frozen",
        family="frozen mechanisms",
        run=_sample_population,
        asks=(
            "the same for ordinary patients, for patients with every oddity of rows, and for"
            " nobody: no row stops a run"
        ),
    ),
)
