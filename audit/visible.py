"""Everything that eyes outside the restricted zone could see of a run, as names and values: two
runs show the same exactly where these are equal.

MLflow is restricted, too; what stands there must not depend on rows either, but for durations
(privacy_rules.md, *Tests*).
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb

from pipeline.catalog import Home, project_root
from pipeline.runs import version_stores
from pipeline.services import tracking
from pipeline.services.tracking import client, run_facts

Snapshot = dict[str, str]
DURATIONS = ("seconds",)  # metrics of MLflow that may differ
REPORT = (  # metrics and files of the restricted report: they compare with real patients
    f"{run_facts.REPORT}/"
)


def take_snapshot(home: Home, lines: list[str]) -> Snapshot:
    """Of one home after its run: files of the released zone with their times, both of its
    version stores' references, MLflow, and the lines that `listening` took down.
    """
    return {
        **_files(home.published),
        **_files(home.released_remote),
        **_references(home),
        **_mlflow(home),
        **{f"output line {number:03}": line for number, line in enumerate(lines)},
    }


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Names of what one run shows and the other does not, or shows otherwise."""
    return sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )


@contextmanager
def listening() -> Iterator[list[str]]:
    """What this project's code says meanwhile: log lines of all levels, warnings, and what it
    prints, which Airflow would take for an answer.
    """
    lines: list[str] = []
    handler = logging.Handler()

    def emit(record: logging.LogRecord) -> None:
        lines.append(f"{record.levelname} {record.getMessage()}")

    handler.emit = emit  # type: ignore[method-assign]
    logger, printed = logging.getLogger("pipeline"), io.StringIO()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(printed):
            warnings.simplefilter("always")
            yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        ours = str(project_root() / "pipeline")
        lines += sorted(
            {f"warning {one.message}" for one in warned if one.filename.startswith(ours)}
        )
        lines += [f"printed {line}" for line in printed.getvalue().splitlines()]


def settle_database(path: Path) -> None:
    """DuckDB lays out its file as it likes. In its place, the same content as text: then equal
    content is equal bytes.
    """
    with duckdb.connect(str(path), read_only=True) as database:
        tables = sorted(name for (name,) in database.execute("SHOW TABLES").fetchall())
        content = repr(
            [
                (name, database.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall())
                for name in tables
            ]
        )
    path.write_text(content, encoding="utf-8")


def _files(folder: Path) -> Snapshot:
    entries: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        if path.is_file():
            entries[name] = sha256(path.read_bytes()).hexdigest()
        # the remote is served by name; its times are those of the restricted machine's copy
        if folder.name == "extracts":
            entries[f"time of {name}"] = str(path.stat().st_mtime)
    return entries


def _references(home: Home) -> Snapshot:
    """Commits with what they changed, authors, times and words, and tags; without DVC's settings,
    which name where the home lies.
    """
    if not home.released_store.is_dir():
        return {}
    changed = version_stores.git(
        "log",
        "--all",
        "--raw",
        "--no-abbrev",
        "--format=%an %at %cn %ct %D %B",
        cwd=home.released_store,
    )
    tagged = version_stores.git(
        "for-each-ref",
        "--format=%(refname) %(taggername) %(taggerdate:unix) %(contents)",
        cwd=home.released_store,
    )
    lines = [
        line
        for line in (*changed.splitlines(), *tagged.splitlines())
        if not line.endswith("\t.dvc/config")
    ]
    return {
        f"reference {number:04} {line.rpartition(chr(9))[2]}": line
        for number, line in enumerate(lines)
    }


def _mlflow(home: Home) -> Snapshot:
    mlflow = tracking.client_of(home)
    entries: Snapshot = {}
    for experiment in mlflow.search_experiments():
        for run in mlflow.search_runs([experiment.experiment_id]):
            name = f"MLflow {run.info.run_name} {run.data.tags.get('attempt', '')}"
            entries |= {f"{name} {key}": str(value) for key, value in _entries(run).items()}
    for model in mlflow.search_registered_models():
        versions = mlflow.search_model_versions(f"name = '{model.name}'")
        entries[f"MLflow model {model.name}"] = str(
            [
                sorted(model.aliases.items()),
                sorted((v.version, sorted(v.tags.items())) for v in versions),
            ]
        )
    folder = home.mlflow_artifacts
    places = (
        [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    )
    return entries | {
        f"MLflow file {'/'.join(path.relative_to(folder).parts[1:])}": (
            sha256(path.read_bytes()).hexdigest()
        )
        for path in places
        if run_facts.REPORT not in path.relative_to(folder).parts
    }


def _entries(run: Any) -> dict[str, Any]:
    """Without ids, clocks, and where the home lies."""
    metrics = {
        f"metric {key}": None if key in DURATIONS else value
        for key, value in run.data.metrics.items()
        if not key.startswith(REPORT)
    }
    tags = {
        f"tag {key}": value for key, value in run.data.tags.items() if not key.startswith("mlflow.")
    }
    tags["description"] = run.data.tags.get(client.NOTE, "").replace(run.info.run_id, "RUN")
    return {
        "status": run.info.status,
        **{f"parameter {key}": value for key, value in run.data.params.items()},
        **tags,
        **metrics,
    }
