"""The last words of a run: where everything lies and what is left."""

from __future__ import annotations

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
        say(f"  extract      {_short(home, home.release(release_id).extract.root)}")
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


def _short(home: Home, path: object) -> str:
    """Relative to the home, as a person in the project's folder would type it."""
    return str(path).removeprefix(f"{home.root}/")
