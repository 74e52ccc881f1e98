"""The custodian's sources, and where everything stands."""

from __future__ import annotations

import argparse

from pipeline.catalog import Home
from pipeline.cli import ledger
from pipeline.cli.console import say, say_table
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.runs import places, source_claims, sources, version_stores
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.services import processes


def show_sources(options: argparse.Namespace) -> None:
    say_table(
        ("dataset", "label", "extract date", "path"),
        [
            (name, source.label, source.extract_date or "-", source.path)
            for name, source in sources.load(Home.find()).items()
        ],
    )


def set_source(options: argparse.Namespace) -> None:
    population = read_schema(declaration_path(options.dataset)).population
    source = sources.Source(
        path=places.resolved(options.path),
        label=options.label,
        extract_date=options.extract_date,
    )
    places.refuse_missing(source.path, options.dataset)
    source_claims.claim(
        Home.find(),
        source.path,
        population=population.name,
        kind=population.kind,
        for_good=False,
    )
    sources.declare(Home.find(), options.dataset, source)
    say(f"The source of {options.dataset} is {source.label!r} now.")


def status(options: argparse.Namespace) -> None:
    home = Home.find()
    running = processes.running_services(home)
    say(f"Running: {', '.join(running) or 'nothing'}")
    show_sources(options)
    ledger.show(argparse.Namespace(population=None))
    say(f"Published: {', '.join(version_stores.tags(home.released_store)) or 'nothing'}")


def clean_check(options: argparse.Namespace) -> None:
    """Raises Refusal where state may not be removed: a ledger of confidential data is the only
    record of what was spent.
    """
    home = Home.find()
    if running := processes.running_services(home):
        raise Refusal(f"{', '.join(running)} still run; stop them with `make down` first")
    from pipeline.ledger import Ledger

    confidential = [
        population.name
        for population in Ledger(home.ledger).populations()
        if population.kind not in SELF_APPROVING_KINDS
    ]
    if confidential:
        raise Refusal(
            f"the ledger holds {', '.join(confidential)}, which is neither simulated nor"
            " public: removing it would forget what was spent on these people. Nothing was removed"
        )
