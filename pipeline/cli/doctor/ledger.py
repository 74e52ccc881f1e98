"""Of the ledger: its chain, whether it is there, and whether it and the releases say the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pipeline import params
from pipeline.catalog import Home
from pipeline.cli.doctor.questions import Fault, Question, warning
from pipeline.ledger import Ledger, low_budget_warning
from pipeline.runs import version_stores

CLOCK_SLACK = timedelta(minutes=5)
STATES = ("reserved", "released", "abandoned")  # of a charge


def chain(home: Home) -> Iterator[Fault]:
    """The hash of every entry, and every chain head that cards and runs of this home noted."""
    from pipeline.restricted.reserve import noted_chain_heads

    Ledger(home.ledger).verify(noted_chain_heads(home))
    yield from ()


def presence(home: Home) -> Iterator[Fault]:
    """Releases without a ledger: what was spent on their people is forgotten."""
    ids = version_stores.tags(home.released_store)
    if ids and not Ledger(home.ledger).entries():
        yield Fault(
            f"there are {len(ids)} releases and no entry in the ledger: nobody knows what"
            " was spent. Restore the newest backup of state/ledger.db, or name the ledger's URL"
            " (state/ledger.url, SYNDASERA_LEDGER); charge nothing before"
        )


def releases(home: Home) -> Iterator[Fault]:
    """A publish that was cut off between the tag and the ledger's entry, or lost its tag."""
    entries, ids = Ledger(home.ledger).entries(), version_stores.tags(home.released_store)
    states = {entry.release_id: entry.kind for entry in entries if entry.kind in STATES}
    for tag in ids:
        if states.get(tag) == "reserved":
            yield Fault(
                f"{tag} is tagged, and the ledger says reserved: its publishing was cut off. Clear"
                " the task publish in Airflow, or run `dvc repro --single-item publish` and"
                f" `python -m pipeline record publish` in runs/{tag}"
            )
        elif states.get(tag) == "abandoned":
            yield Fault(
                f"{tag} is tagged, and abandoned in the ledger: no stage does that. Ask who wrote"
                " there by hand"
            )
    if not entries:
        return
    for release_id, state in states.items():
        if state == "released" and release_id not in ids:
            yield Fault(
                f"{release_id} is released in the ledger and has no tag here: restore"
                " state/released from the backup, or from the host that published it"
            )


def budgets(home: Home) -> Iterator[Fault]:
    """What the stage reserve warns of, for every population."""
    return (warning(text) for _, text in low_budgets(home))


def low_budgets(home: Home) -> Iterator[tuple[str, str]]:
    """(population, what is low and what to do) of each whose budget runs low."""
    ledger, settings = Ledger(home.ledger), params.load(home.params).privacy
    for population in ledger.populations():
        balance = ledger.balance(population.name)
        left = 1 - balance.share_spent
        text = low_budget_warning(population, left, balance.more_like_last, settings)
        if text and balance.n_releases:
            yield population.name, text


def clock(home: Home) -> Iterator[Fault]:
    """Nothing can have been charged in the future."""
    entries = Ledger(home.ledger).entries()
    now = datetime.now(UTC)
    if entries and (last := datetime.fromisoformat(entries[-1].at)) > now + CLOCK_SLACK:
        yield Fault(
            f"the ledger's last entry is of {last:%Y-%m-%d %H:%M} UTC, and this machine says"
            f" {now:%Y-%m-%d %H:%M}: set its clock (timedatectl set-ntp true)"
        )


QUESTIONS = (
    Question("the ledger's chain holds, with every head that was noted", chain),
    Question("the ledger is there", presence),
    Question("ledger and releases say the same", releases),
    Question("every budget has room for more releases", budgets),
    Question("the clock is not behind the ledger", clock),
)
