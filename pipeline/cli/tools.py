"""Tools for people: simulate a source, fit and draw for benchmarks, write the suites of
expectations.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Extract, Home, project_root
from pipeline.cli.console import say
from pipeline.refusal import Refusal


def simulate(options: argparse.Namespace) -> int:
    from pipeline.simulator import command

    return command.run(options)


def expectations(options: argparse.Namespace) -> None:
    """Writes the committed suites, or raises Refusal naming the stale ones."""
    from pipeline.checks.expectations.suite_files import stale, write

    datasets, folder = project_root() / "datasets", project_root() / "expectations"
    if not options.check:
        say(f"{write(datasets, folder)} files are in expectations/.")
        return
    if old := stale(datasets, folder):
        raise Refusal(
            f"stale: {', '.join(old)}; `python -m pipeline expectations` writes them anew"
        )
    say("The suites in expectations/ are what the declarations say.")


def fit(options: argparse.Namespace) -> None:
    """Ingest and train without a ledger. Raises Refusal for a dataset that is not declared
    public.
    """
    from pipeline import params
    from pipeline.restricted.public_source import ingested, refuse_other_facts
    from pipeline.restricted.train import fit_public
    from pipeline.runs import source_claims
    from pipeline.schema.reader import read_schema

    schema = read_schema(options.dataset)
    if not schema.public:
        raise Refusal(
            f"{schema.dataset} is not declared `public: true`: a model of it is made by a charged"
            " run (`python -m pipeline refresh`)"
        )
    files.refuse_foreign(options.model, files.everything)
    refuse_other_facts(Home.find(), schema)
    source_claims.claim(
        Home.find(),
        options.source,
        population=schema.population.name,
        kind=schema.population.kind,
        for_good=False,
    )
    settings = params.load(Home.find().params)
    settings = replace(
        settings, release=replace(settings.release, extract_date=options.extract_date)
    )
    with tempfile.TemporaryDirectory() as folder:
        patients, events = ingested(schema, options.source, settings, Path(folder))
        source_claims.claim(
            Home.find(),
            options.source,
            population=schema.population.name,
            kind=schema.population.kind,
        )
        fit_public(
            schema,
            patients,
            events,
            options.epsilon,
            options.delta,
            settings.train,
            options.model,
            options.extract_date,
        )
    say(f"The model is in {options.model}.")


def experiment(options: argparse.Namespace) -> None:
    """Runs what is not done yet, and says where the tables are."""
    from pipeline.experiments import command

    page = command.run(
        options.name,
        options.out,
        data=options.data,
        sets=options.sets,
        splits=options.splits,
        epsilons=options.epsilons,
    )
    say(page.read_text(encoding="utf-8"))
    say(f"The tables are in {page}.")


def draw(options: argparse.Namespace) -> None:
    """Draws `rows` patients into one CSV (a dataset of one table) or a folder of CSVs; of several
    sets each into a folder below it, from seeds in a row. Written whole or not at all. Raises
    Refusal for a file that is there, and for a folder that holds what no draw wrote.
    """
    from pipeline.models.synthesizer.model import Synthesizer

    model = Synthesizer.load(options.model)
    one_file = options.out.suffix == ".csv"
    if one_file and len(model.schema.tables) > 1:
        raise Refusal(
            f"{model.schema.dataset} has {len(model.schema.tables)} tables: give --out a folder"
        )
    if one_file and options.sets > 1:
        raise Refusal("several sets need a folder: give --out a name without .csv")
    if one_file:
        with files.new_file(options.out) as file, tempfile.TemporaryDirectory() as scratch:
            [table] = _draw_csv(model, options, Path(scratch), options.seed)
            shutil.move(table, file)
    else:
        with files.replacing_folder(options.out, foreign=files.unsigned) as folder:
            for number in range(options.sets):
                parts = folder / "parts"
                place = folder / f"set-{number + 1}" if options.sets > 1 else folder
                place.mkdir(exist_ok=True)
                for table in _draw_csv(model, options, parts, options.seed + number):
                    table.rename(place / table.name)
                shutil.rmtree(parts)
            files.sign(folder)
    times = f"{options.sets} times " if options.sets > 1 else ""
    say(f"{times}{options.rows} synthetic patients are in {options.out}.")


def _draw_csv(model: Any, options: argparse.Namespace, folder: Path, seed: int) -> list[Path]:
    """Draws into an extract in `folder`; its CSV files."""
    from pipeline.checks.private_draws import drawn_tables
    from pipeline.plan_options import plan_in
    from pipeline.released.writers import TableWriter

    with TableWriter(model.schema, folder) as writer:
        for tables in drawn_tables(
            model,
            options.rows,
            seed=seed,
            plan=plan_in(
                options.plan or "", where=options.where, begins=options.begins, shares=options.share
            ),
            extract_date=options.extract_date,
        ):
            writer.write(tables)
    return sorted(Extract(folder).csv.iterdir())
