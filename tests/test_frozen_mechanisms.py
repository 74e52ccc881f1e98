"""Frozen mechanisms (privacy_rules.md, last section): with every mechanism's output replaced by a recording, two unrelated extracts
give the same released bytes, the same MLflow entries and the same log lines. Whatever else of the rows came through would differ.
"""
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

from pipeline import params, registries, schema, tracking, workspace
from pipeline.catalog import Home, Workspace, project_root
from pipeline.commands.accounts import ensure_population
from pipeline.dp.marginals import NoisyCounts
from pipeline.dp.sgd import DpSgd
from pipeline.simulator.simulate import simulate
from pipeline.stages import STAGES

RELEASE = "frozen-1"
SMALL = {"table": {"codes": 60, "steps": 20, "critic_share": 0.1, "critic_steps": 2, "critic_batch": 50},
         "pathway": {"steps": 3, "expected_batch_size": 60, "calibration_patients": 200}}


class Recording:
    """The outputs of all mechanisms of one walk, in order; given back in the second walk instead of what would be measured there."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str, object]] = []
        self.position: int | None = None  # None: recording

    def of(self, name: str, measure: object) -> object:
        if self.position is None:
            self.outputs.append((name, measure()))
            return self.outputs[-1][1]
        recorded, output = self.outputs[self.position]
        assert recorded == name, f"the second walk ran {name} where the first ran {recorded}: what runs depends on rows"
        self.position += 1
        return output


@contextmanager
def frozen(recording: Recording, home: Path) -> Iterator[None]:
    """All mechanisms answer from the recording; the clock stands still; `home` is the state."""
    with pytest.MonkeyPatch.context() as patch:
        measure, gradient = NoisyCounts.measure, DpSgd.noisy_gradient
        patch.setattr(NoisyCounts, "measure", lambda self, counts, noise: recording.of(self.name, lambda: measure(self, counts, noise)))
        patch.setattr(DpSgd, "noisy_gradient", lambda self, sums, like, noise:
                      recording.of("gradient", lambda: gradient(self, sums, like, noise)))
        patch.setattr("pipeline.ledger_chain.datetime", SimpleNamespace(now=lambda _: datetime(2026, 1, 1, tzinfo=UTC)))
        patch.setattr(tracking, "code_version", lambda _: "one version")  # somebody may edit between the two walks
        patch.setenv("SYNDASERA_HOME", str(home))
        yield


def walk(home: Home, source: Path) -> Workspace:
    """All stages in this process, as `python -m pipeline <stage>` runs them."""
    settings = YAML(typ="safe").load((project_root() / "params.yaml").read_text())
    settings["train"] |= SMALL
    settings["evaluate"]["max_rows"] = 100
    home.root.mkdir()
    YAML().dump(settings, home.root / "params.yaml")
    made = workspace.make(home, workspace.Request(release_id=RELEASE, dataset="simulated_pathways", source=str(source), label="one label",
                                                  extract_date=date(2022, 12, 31), rows=60))
    text = made.params.read_text().splitlines()
    made.params.write_text("\n".join("  data_id: fixed" if line.startswith("  data_id:") else line for line in text) + "\n")
    declared = schema.load(made.dataset)
    ensure_population(home, declared)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        for stage in STAGES.values():
            import_module(stage.module).run(made, params.load(made.params), declared)
    return made


def released_bytes(home: Home) -> dict[str, str]:
    """Path -> hash of every published file. DuckDB lays out its file as it likes: there the tables' content counts."""
    folder = home.published / RELEASE
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = _database_content(path) if path.suffix == ".duckdb" else path.read_bytes()
        if path.name == "manifest.json":
            manifest = json.loads(content)
            content = json.dumps(manifest | {"files": [f for f in manifest["files"] if not f["path"].endswith(".duckdb")]}).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def times(home: Home) -> set[float | str]:
    """Every time that a published file, a commit or a tag of the released registry bears."""
    written: set[float | str] = {path.stat().st_mtime for path in (home.published / RELEASE, *(home.published / RELEASE).rglob("*"))}
    said = registries.git("log", "--all", "--format=%at%n%ct", cwd=home.released_registry).split()
    tagged = registries.git("for-each-ref", "--format=%(creatordate:unix)", "refs/tags", cwd=home.released_registry).split()
    return written | {float(moment) for moment in (*said, *tagged)}


def _database_content(path: Path) -> bytes:
    with duckdb.connect(str(path), read_only=True) as database:
        tables = sorted(name for (name,) in database.execute("SHOW TABLES").fetchall())
        return repr([(name, database.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall()) for name in tables]).encode()


def mlflow_entries(home: Home) -> list[object]:
    """Params, tags and artifacts of every run, without ids, clocks, durations and where the home lies."""
    client: MlflowClient = tracking.client_of(home)
    entries = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            tags = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}
            entries.append((run.info.run_name, sorted(run.data.params.items()), sorted(tags.items()), sorted(run.data.metrics)))
    return sorted(entries, key=repr)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("pipeline") and record.levelno >= logging.INFO]


def test_nothing_but_mechanisms_carries_rows_out(tmp_path, caplog):
    recording, results = Recording(), []
    for number, (n_patients, seed) in enumerate([(150, 11), (90, 77)]):
        source, home = tmp_path / f"source-{number}", Home(tmp_path / f"home-{number}")
        simulate(n_patients, seed, source, date(2022, 12, 31))
        caplog.clear()
        with frozen(recording, home.root), caplog.at_level(logging.INFO):
            walk(home, source)
            results.append((released_bytes(home), mlflow_entries(home), lines(caplog)))
        if recording.position is None:
            recording.position = 0
    assert recording.position == len(recording.outputs) > 100
    assert times(home) == {registries.MOMENT.timestamp()}
    first, second = results
    assert first[0].keys() == second[0].keys()
    assert {name for name in first[0] if first[0][name] != second[0][name]} == set(), "these released files depend on rows"
    assert first[1] == second[1], "MLflow depends on rows"
    assert first[2] == second[2], "log lines depend on rows"
