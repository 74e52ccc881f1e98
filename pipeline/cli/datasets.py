"""From files to a declaration that fits them: a draft, a dry run, and what a release would be."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from pipeline import params
from pipeline.catalog import Home
from pipeline.cli import price
from pipeline.cli.console import say
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.runs import places, sources
from pipeline.runs.declarations import dataset_names, declaration_path
from pipeline.schema.names import short_fault
from pipeline.schema.reader import read_schema, read_schema_with_warnings


def show(options: argparse.Namespace) -> None:
    """The datasets there are."""
    for name in dataset_names():
        say(name)


def draft(options: argparse.Namespace) -> None:
    """The declaration to review, on standard output."""
    from pipeline.restricted.draft.declaration import draft as drafted
    from pipeline.restricted.draft.yaml_parts import Statement

    if options.public is not None and options.kind not in (None, "public"):
        raise Refusal(
            f"--public says that these rows are published, --kind {options.kind} that they are not:"
            " leave one of them out"
        )
    statement = Statement(
        name=options.name or _name(options.files[0]),
        kind="public" if options.public is not None else options.kind or "confidential",
        published=options.public,
        universe=options.universe,
        size=options.size,
    )
    if fault := short_fault(statement.name):
        raise Refusal(f"--name: {fault}")
    text = drafted(options.files, statement, pathways=options.pathways)
    say(text.rstrip("\n"))


def _name(file: str) -> str:
    stem = Path(file).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:60] or "mine"


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


def explain(options: argparse.Namespace) -> None:
    """What a release would be and cost; nothing is recorded, and no row is read."""
    from pipeline.models.synthesizer import explanation

    home, schema = Home.find(), read_schema(declaration_path(options.dataset))
    plan = price.plan_of(home, schema, options.epsilon, options.extract_date)
    for line in explanation.lines(schema, plan):
        say(line)
    say()
    price.say_price(home, schema, plan, options.cohorts)
