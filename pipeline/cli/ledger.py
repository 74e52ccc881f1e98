"""The privacy ledger from the command line: open and raise budgets, see what was spent, what a
release would cost, and whether the chain holds.
"""

from __future__ import annotations

import argparse
import getpass
import json
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli import price
from pipeline.cli.console import say, say_table
from pipeline.cli.price import open_declared
from pipeline.params import check_release_id
from pipeline.population_limits import SELF_APPROVING_KINDS
from pipeline.refusal import Refusal
from pipeline.runs.declarations import declaration_path
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

if TYPE_CHECKING:
    from pipeline.ledger import Ledger

NO_LEDGER = "There is no ledger yet."


def ensure_population(home: Home, schema: Schema) -> None:
    """Opens the population of simulated or public data from its declaration. A confidential one is
    opened by a person.

    Raises Refusal where it is open with other facts than those declared.
    """
    ledger, population = _ledger(home), schema.population
    if ledger.is_open(population.name):
        ledger.check_declared(population)
        return
    if population.kind not in SELF_APPROVING_KINDS:
        raise Refusal(
            f"population {population.name} is not open in the ledger: a custodian opens it with "
            f"`python -m pipeline ledger open {schema.dataset} --reason ...`"
        )
    open_declared(ledger, schema, "opened by the first run of public or simulated data")


def _ledger(home: Home) -> Ledger:
    from pipeline.ledger import Ledger

    home.state.mkdir(parents=True, exist_ok=True)
    return Ledger(home.ledger)


def open_population(options: argparse.Namespace) -> None:
    schema = read_schema(declaration_path(options.dataset))
    open_declared(_ledger(Home.find()), schema, options.reason, options.disjoint_from)
    population = schema.population
    say(
        f"Opened population {population.name} at epsilon {population.epsilon:g}, delta"
        f" {population.delta:g}."
    )


def raise_budget(options: argparse.Namespace) -> None:
    population = _ledger(Home.find()).raise_budget(
        options.population, epsilon=options.epsilon, reason=options.reason, by=getpass.getuser()
    )
    say(
        f"The budget of population {population.name} is epsilon {population.epsilon:g} now (opened"
        f" at {population.opened_epsilon:g}, ceiling {population.ceiling_epsilon:g}): a weaker"
        " statement about its people, which every later card makes."
    )


def abandon(options: argparse.Namespace) -> None:
    from pipeline.runs import chain_heads

    home = Home.find()
    check_release_id(options.release)
    _ledger(home).abandon(options.release, options.reason, getpass.getuser())
    chain_heads.note(home, options.release)
    say(
        f"{options.release} is abandoned. It stays charged, and counts as one of the few refusals"
        " that its population has."
    )


def show(options: argparse.Namespace) -> None:
    ledger = _ledger(Home.find())
    if not ledger.entries():
        say(NO_LEDGER)
        return
    everybody = [population.name for population in ledger.populations()]
    for name in [options.population] if options.population else everybody:
        _show_one(ledger, name)
    say(f"Chain head, entry {len(ledger.entries())}: {ledger.chain_head()}")


def _show_one(ledger: Ledger, name: str) -> None:
    population, balance = ledger.population(name), ledger.balance(name)
    say(balance_line(ledger, name))
    for entry in ledger.entries(name):
        if entry.kind == "keyed":
            say(
                f"  entry {entry.number}, {entry.at}: the holdout's permanent key has the"
                f" fingerprint {entry.facts['holdout_key'][:12]}…"
            )
        elif entry.kind == "declined":
            say(
                f"  entry {entry.number}, {entry.at}: {entry.release_id} was declined before its"
                f" charge, by {entry.by}"
            )
        elif entry.release_id is None:
            say(
                f"  entry {entry.number}, {entry.at}: {entry.kind}, epsilon"
                f" {entry.facts['epsilon']:g}, by {entry.by}: {entry.facts['reason']}"
            )
    for cohort, spent in balance.spent_by_cohort.items():
        say(f"  cohort {cohort}: {spent / balance.limit_rdp:.1%} of the budget spent")
    if balance.n_releases:
        say(
            f"  all releases: epsilon {balance.epsilon_spent:.3f} by the filter at order"
            f" {balance.order}; by PLD, had all been fixed beforehand,"
            f" {ledger.pld_epsilon(name):.3f} (for reports only)"
        )
    overlapping = [other for other in ledger.overlapping(name) if other.name != name]
    if overlapping:
        say(
            f"  may share patients with {', '.join(other.name for other in overlapping)}: together"
            f" epsilon {population.epsilon + sum(other.epsilon for other in overlapping):g}"
        )
    if balance.n_releases:
        say_table(
            ("  release", "state", "epsilon alone", "Renyi", "source label", "charged"),
            [
                (
                    f"  {reservation.release_id}",
                    ledger.state(reservation.release_id),
                    f"{reservation.epsilon:.3f}",
                    f"{reservation.rdp:.4f}",
                    reservation.source_label,
                    reservation.at,
                )
                for reservation in ledger.reservations(name)
            ],
        )


def balance_line(ledger: Ledger, name: str) -> str:
    """One population in one line."""
    balance = ledger.balance(name)
    more = (
        ""
        if balance.more_like_last is None
        else f", {balance.more_like_last} more like the last fit"
    )
    return (
        f"{name}: {balance.share_spent:.1%} of the budget of epsilon {balance.epsilon_total:g} at"
        f" delta {balance.delta:g} spent by {balance.n_releases} release(s){more}"
    )


def quote(options: argparse.Namespace) -> None:
    """What a release would cost; nothing is recorded, and no row is read."""
    home, schema = Home.find(), read_schema(declaration_path(options.dataset))
    plan = price.plan_of(home, schema, options.epsilon, options.extract_date)
    price.say_price(home, schema, plan, options.cohorts)


def export(options: argparse.Namespace) -> None:
    """Everything, as JSON: restricted, so a file is readable by its owner only."""
    document = _ledger(Home.find()).export()
    if options.out is None:
        say(json.dumps(document, indent=2))
        return
    with files.new_file(options.out) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    say(
        f"{len(document['entries'])} entries are in {options.out}, up to the chain head"
        f" {document['head']}."
    )


def verify(options: argparse.Namespace) -> int:
    from pipeline.ledger import Ledger
    from pipeline.restricted.reserve import noted_chain_heads
    from pipeline.services.tracking import tracked_chain_heads

    home = Home.find()
    ledger, chain_heads = Ledger(home.ledger), noted_chain_heads(home) | tracked_chain_heads(home)
    if not ledger.entries() and not chain_heads:
        say(NO_LEDGER)
        return 0
    ledger.verify(chain_heads)
    say(
        f"The ledger's chain of {len(ledger.entries())} entries is whole. It holds the chain"
        f" heads noted in {len(chain_heads)} place(s): cards, runs, MLflow."
    )
    return 0


def move(options: argparse.Namespace) -> None:
    """The ledger of this home from its file to a database of PostgreSQL, entry by entry as they
    were written; later runs use that.
    """
    from pipeline.ledger import Ledger

    home = Home.find()
    if "://" not in options.url:
        raise Refusal("a ledger moves to a URL; write postgresql://USER@HOST:PORT/DATABASE")
    if home.ledger != str(home.ledger_file):
        raise Refusal(
            "the ledger of this home is no file: it lies at a URL already (SYNDASERA_LEDGER, or"
            " state/ledger.url)"
        )
    Ledger(home.ledger).move_to(Ledger(options.url), by=getpass.getuser())
    with files.replacing(home.ledger_url) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(f"{options.url}\n", encoding="utf-8")
    say(
        "The ledger lies in the database now; every later command of this home uses it. The file"
        " stays where it was, closed by its last entry."
    )
