"""The custodian's sources, and where everything stands."""

from __future__ import annotations

import argparse
from dataclasses import replace

from pipeline import params
from pipeline.catalog import Home
from pipeline.cli import ledger
from pipeline.cli.console import say, say_table
from pipeline.params import Params
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.runs import places, source_claims, sources, version_stores
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema, read_schema_with_warnings
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
    source_claims.claim(Home.find(), source.path, population=population.name, kind=population.kind)
    sources.declare(Home.find(), options.dataset, source)
    say(f"The source of {options.dataset} is {source.label!r} now.")


def check(options: argparse.Namespace) -> int:
    """0 where the source fits its declaration well enough for a release, 1 where not."""
    from pipeline.restricted import source_check
    from pipeline.restricted.ingest import stage

    schema, warnings = read_schema_with_warnings(declaration_path(options.dataset))
    for warning in warnings:
        say(f"Warning: {warning}")
    say(f"The declaration of {schema.dataset} is sound.")
    source = sources.get(Home.find(), options.dataset)
    place = options.source or (source.path if source else None)
    if place is None:
        say("No source was named or declared: add `--source PATH` to check one against it.")
        return 0
    settings = _params_of_check(options, source)
    account, examples = stage.rehearse(schema, settings, places.resolved(place))
    result = source_check.check(
        schema,
        account,
        examples,
        settings.ingest.min_kept_share,
        shows_texts=options.show_values,
    )
    for line in result.lines:
        say(line)
    say("Nothing was charged." if result.fits else "No release can be made of it yet.")
    return 0 if result.fits else 1


def _params_of_check(options: argparse.Namespace, source: sources.Source | None) -> Params:
    settings = params.load(Home.find().params)
    extract_date = options.extract_date or (source.extract_date if source else None)
    return replace(settings, release=replace(settings.release, extract_date=extract_date))


def status(options: argparse.Namespace) -> None:
    home = Home.find()
    running = processes.running_services(home)
    say(f"Running: {', '.join(running) or 'nothing'}")
    show_sources(options)
    ledger.show(argparse.Namespace(population=None))
    tags = (
        version_stores.git("tag", "--list", cwd=home.released_store).split()
        if home.released_store.is_dir()
        else []
    )
    say(f"Published: {', '.join(tags) or 'nothing'}")


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
