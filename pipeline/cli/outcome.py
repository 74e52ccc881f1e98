"""The last words of a run: where everything lies and what is left."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.cli.ledger import balance_line
from pipeline.runs import version_stores
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.stages import REFUSED


def say_outcome(home: Home, dataset: str, release_id: str, state: str) -> int:
    """Prints where the extract, the report, the MLflow run, the tag and the balance are; returns
    the exit code.
    """
    is_published = version_stores.is_tagged(home.released_store, release_id)
    workspace = home.workspace(release_id)
    if state == "success" and not is_published:
        say(
            f"Nothing new to release: a release of {dataset} was charged for a source of this label"
            " before. Nothing was charged now."
        )
    elif is_published:
        parent = (files.read_json(workspace.tracking) or {}).get("parent_run", "not there yet")
        say(f"Release {release_id} is published.")
        say(f"  extract      {_short(home, home.release(release_id).root)}")
        say(f"  begin with   {_short(home, home.release(release_id).start_page)}")
        say(f"  fetch it     {fetch_command(home, dataset, release_id)}")
        say(f"  card         {_short(home, home.release(release_id).card_page)}")
        say(f"  report       {_short(home, workspace.restricted.report.page)}  (restricted)")
        say(f"  MLflow run   {parent}  (restricted; `make up` shows it)")
        say(f"  tag          {release_id} in {_short(home, home.released_store)}")
    else:
        say(
            f"Release {release_id} was not published: the run stopped. What it reserved stays"
            " charged; `make up` shows the log."
        )
    from pipeline.ledger import Ledger

    population, ledger = read_schema(declaration_path(dataset)).population.name, Ledger(home.ledger)
    if ledger.is_open(population):
        say(f"  ledger       {balance_line(ledger, population)}")
    if warning := files.read_json(home.workspace(release_id).restricted.budget, {}).get("warning"):
        say(f"  LOW BUDGET   {warning}")
    return 0 if state == "success" else REFUSED


def fetch_command(home: Home, dataset: str, release_id: str) -> str:
    """What somebody types in this folder to get a copy of the release from its version store."""
    program, store = Path(sys.executable).with_name("dvc"), home.released_store
    parts = [_from_here(program), "get", _from_here(store), dataset, "--rev", release_id]
    return shlex.join([*parts, "-o", release_id])


def _from_here(path: Path) -> str:
    """A path as it is typed in the present folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _short(home: Home, path: object) -> str:
    """Relative to the home, as a person in the project's folder would type it."""
    return str(path).removeprefix(f"{home.root}/")
