"""The ledger's populations, the custodian's sources, and where everything stands."""
from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import registries, schema, services, source_paths, sources
from pipeline.catalog import Home
from pipeline.commands.say import say, say_table
from pipeline.schema import Schema
from pipeline.workspace import declaration_path

if TYPE_CHECKING:
    from pipeline.ledger import Ledger

OPEN_BY_THEMSELVES = ("simulated", "public")


def ensure_population(home: Home, declared: Schema) -> None:
    """Opens the population of simulated or public data from its declaration. A confidential one is opened by a person.

    Raises ValueError where it is open with other facts than those declared.
    """
    from pipeline.ledger import Ledger

    home.state.mkdir(parents=True, exist_ok=True)
    ledger, population = Ledger(home.ledger), declared.population
    if population.name in {held.name for held in ledger.populations()}:
        ledger.check_declared(population)
        return
    if population.kind not in OPEN_BY_THEMSELVES:
        raise ValueError(f"population {population.name} is not open in the ledger: a custodian opens it with "
                         f"`python -m pipeline ledger open {declared.dataset} --reason ...`")
    _open(ledger, declared, "opened by the first run of public or simulated data")


def _open(ledger: Ledger, declared: Schema, reason: str, disjoint_from: Sequence[str] = ()) -> None:
    population = declared.population
    ledger.open_population(
        population.name, universe=population.universe, nominal_size=population.nominal_size, epsilon=population.epsilon,
        delta=population.delta, ceiling_epsilon=population.ceiling_epsilon, kind=population.kind, reason=reason, by=getpass.getuser(),
        disjoint_from=disjoint_from)


def open_population(options: argparse.Namespace) -> None:
    from pipeline.ledger import Ledger

    home = Home.find()
    home.state.mkdir(parents=True, exist_ok=True)
    declared = schema.load(declaration_path(options.dataset))
    _open(Ledger(home.ledger), declared, options.reason, options.disjoint_from)
    say(f"Opened population {declared.population.name} at epsilon {declared.population.epsilon:g}, delta {declared.population.delta:g}.")


def abandon(options: argparse.Namespace) -> None:
    from pipeline.ledger import Ledger

    Ledger(Home.find().ledger).abandon(options.release, options.reason, getpass.getuser())
    say(f"{options.release} is abandoned. It stays charged, and counts as one of the few refusals that its population has.")


def show(options: argparse.Namespace) -> None:
    from pipeline.ledger import Ledger

    home = Home.find()
    if not home.ledger.is_file():
        say("There is no ledger yet.")
        return
    ledger = Ledger(home.ledger)
    names = [options.population] if options.population else [held.name for held in ledger.populations()]
    for name in names:
        say(balance_line(ledger, name))
        held = [ledger.reservation(str(entry.release_id)) for entry in ledger.entries(name) if entry.kind == "reserved"]
        say_table(("  release", "state", "epsilon alone", "source label"),
                  [(f"  {charge.release_id}", ledger.state(charge.release_id), f"{charge.epsilon:.3f}", charge.source_label)
                   for charge in held if charge is not None])


def balance_line(ledger: Ledger, name: str) -> str:
    """One population in one line."""
    balance = ledger.balance(name)
    more = "" if balance.more_like_last is None else f", {balance.more_like_last} more like the last fit"
    return (f"{name}: {balance.share_spent:.1%} of the budget of epsilon {balance.epsilon_total:g} at delta {balance.delta:g} spent by "
            f"{balance.n_releases} release(s){more}")


def verify(options: argparse.Namespace) -> int:
    from pipeline.ledger import Ledger
    from pipeline.released.privacy_facts import published_heads

    home = Home.find()
    if not home.ledger.is_file() and not published_heads(home):
        say("There is no ledger yet.")
        return 0
    heads = published_heads(home)
    Ledger(home.ledger).verify(*heads)
    say(f"The ledger's chain is whole, and holds the heads of the {len(heads)} published card(s).")
    return 0


def show_sources(options: argparse.Namespace) -> None:
    declared = sources.load(Home.find())
    say_table(("dataset", "label", "extract date", "path"),
              [(name, held.label, held.extract_date or "-", held.path) for name, held in declared.items()])


def set_source(options: argparse.Namespace) -> None:
    population = schema.load(declaration_path(options.dataset)).population
    source = sources.Source(path=str(Path(options.path).resolve()), label=options.label, extract_date=options.extract_date)
    if not Path(source.path).exists():
        raise ValueError(f"source of {options.dataset}: there is nothing at {source.path}")
    source_paths.claim(Home.find(), source.path, population=population.name, kind=population.kind)
    sources.declare(Home.find(), options.dataset, source)
    say(f"The source of {options.dataset} is {source.label!r} now.")


def status(options: argparse.Namespace) -> None:
    home = Home.find()
    running = services.running_services(home)
    say(f"Running: {', '.join(running) or 'nothing'}")
    show_sources(options)
    show(argparse.Namespace(population=None))
    tags = registries.git("tag", "--list", cwd=home.released_registry).split() if home.released_registry.is_dir() else []
    say(f"Published: {', '.join(tags) or 'nothing'}")


def clean_check(options: argparse.Namespace) -> None:
    """Raises ValueError where state may not be removed: a ledger of confidential data is the only record of what was spent."""
    home = Home.find()
    if running := services.running_services(home):
        raise ValueError(f"{', '.join(running)} still run; stop them with `make down` first")
    if not home.ledger.is_file():
        return
    from pipeline.ledger import Ledger

    kept = [held.name for held in Ledger(home.ledger).populations() if held.kind not in OPEN_BY_THEMSELVES]
    if kept:
        raise ValueError(f"the ledger holds {', '.join(kept)}, which is neither simulated nor public: removing it would forget what was "
                         "spent on these people. Nothing was removed")
