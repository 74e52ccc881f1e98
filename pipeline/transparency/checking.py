"""What anybody can check of a log with nothing but the log: every fault, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.transparency import tree
from pipeline.transparency.commitments import (
    Line,
    commitment,
    cost_facts,
    entry_leaf,
    line_hash,
    name_facts,
)
from pipeline.transparency.sums import charges_of, orders_of, spent_of

FORMAT = 1  # of a line; others are another version's


def first_line(published: Mapping[str, str]) -> dict[str, Any]:
    """How the log begins: with what had been published before, {release id: manifest's sha256}."""
    older = [{"release_id": name, "manifest": sha256} for name, sha256 in sorted(published.items())]
    return {"format": FORMAT, "kind": "begun", "older": older}


def log_faults(log: Sequence[Line]) -> Iterator[str]:
    """Of a whole log: every line follows from those before it, every charge is where its line's
    hidden tree has it, and the sums are right.
    """
    if not log or log[0].get("kind") != "begun":
        yield "the log lacks its first entry, which names what was published before it"
    for index, line in enumerate(log):
        try:
            for fault in _line_faults(log[:index], line):
                yield f"entry {index} ({line.get('release_id', 'the first')}): {fault}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield f"entry {index} is not of the form of an entry ({type(error).__name__}: {error})"


def growth_fault(log: Sequence[Line], older: Sequence[Line]) -> str:
    """Whether the log is an older one with entries added; empty where it is."""
    if len(older) > len(log):
        return (
            f"the older copy of the log has {len(older)} entries and this one {len(log)}: entries"
            " were removed, or this is the older one"
        )
    for index, (line, then) in enumerate(zip(log, older, strict=False)):
        if line_hash(line) != line_hash(then):
            was, is_now = (one.get("release_id", "the first") for one in (then, line))
            return (
                f"entry {index} of the log was another one in the older copy ({was}; now"
                f" {is_now}): an entry was changed or removed, or two logs are shown to two readers"
            )
    return ""


def log_root(log: Sequence[Line]) -> bytes:
    """Of the tree over all lines: whoever keeps it and the number of lines keeps the log."""
    return tree.root([line_hash(line) for line in log])


def _line_faults(before: Sequence[Line], line: Line) -> Iterator[str]:
    if line["format"] != FORMAT:
        yield f"it has the form {line['format']}: another version of the code checks it"
        return
    if line["kind"] == "begun":
        if before:
            yield "the log begins a second time"
        return
    if any(other.get("release_id") == line["release_id"] for other in before):
        yield "the release has an entry already"
    if line["kind"] == "charged":
        yield from _charged_faults(before, line)
    elif line["kind"] == "drawn":
        yield from _drawn_faults(before, line)
    else:
        yield f"there are no entries of the kind {line['kind']}"


def _drawn_faults(before: Sequence[Line], line: Line) -> Iterator[str]:
    model_of = line["drawn_from"]
    if any(model_of == older["release_id"] for older in before[0]["older"]):
        return
    charged = [one for one in before if one.get("release_id") == model_of]
    if not charged or charged[0]["kind"] != "charged":
        yield f"it was drawn from {model_of}, for which no earlier entry shows a charge"
    elif (charged[0]["model"], charged[0]["population"]) != (line["model"], line["population"]):
        yield f"its model or population is not that of {model_of}, from which it was drawn"


def _charged_faults(before: Sequence[Line], line: Line) -> Iterator[str]:
    population, earlier = line["population"], charges_of(before, line["population"])
    if orders_of(before, population) - {line["order"]}:
        yield f"the Renyi order of population {population} changed"
    charges = [*earlier, *line["charges"]]
    if [one["charge"] for one in charges] != list(range(1, len(charges) + 1)):
        yield f"the charges of population {population} are not numbered one after the other"
    for charge in line["charges"]:
        if not charge["rdp"] > 0 or not _is_in_ledger(line, charge):
            yield f"charge {charge['charge']} is not in the ledger that the entry commits to"
    if any(
        (one.get("population"), one.get("charge")) == (population, line["charge"]) for one in before
    ):
        yield f"charge {line['charge']} paid for another release already"
    own = [one for one in charges if one["charge"] == line["charge"]]
    if not own:
        yield f"no charge was shown for it: charge {line['charge']} of {population} is not listed"
        return
    yield from _own_faults(line, own[0])
    spent = spent_of([*before, line], population)
    if not math.isclose(line["spent_rdp"], spent, rel_tol=1e-12):
        yield f"it says {line['spent_rdp']:.6g} was spent, and the charges add up to {spent:.6g}"


def _is_in_ledger(line: Line, charge: Mapping[str, Any]) -> bool:
    cost = commitment(bytes.fromhex(charge["salt"]), cost_facts(line, charge))
    leaf = entry_leaf(cost, bytes.fromhex(charge["name"]), bytes.fromhex(charge["head"]))
    return tree.is_included(
        leaf,
        charge["place"],
        line["ledger_size"],
        [bytes.fromhex(node) for node in charge["path"]],
        bytes.fromhex(line["ledger"]),
    )


def _own_faults(line: Line, charge: Mapping[str, Any]) -> Iterator[str]:
    """Whether the charge that was listed is the one of this release."""
    if (line["rdp"], line["cohorts"]) != (charge["rdp"], charge["cohorts"]):
        yield f"charge {line['charge']} was listed at another cost, or for other cohorts"
    name = commitment(bytes.fromhex(line["name_salt"]), name_facts(line))
    head = commitment(bytes.fromhex(line["head_salt"]), bytes.fromhex(line["chain_head"]))
    if (name.hex(), head.hex()) != (charge["name"], charge["head"]):
        yield f"charge {line['charge']} is another release's, or has another chain head"
