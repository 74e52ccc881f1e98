"""What ingest read, kept, repaired and dropped, as a person reads it: lines for a terminal and a
question, HTML for the head of the restricted report. Restricted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import files
from pipeline.catalog import Restricted
from pipeline.checks.rules import RULES
from pipeline.evaluation import report
from pipeline.refusal import Refusal
from pipeline.restricted.ingest.account import INTENDED, OF_DROPPED

MOST_LINES = 12  # reasons of one kind that a question lists
HOW_TO_DECLARE = (
    "Correct the source or the declaration: `python -m pipeline dataset check DATASET --source"
    " PATH` says, column by column, what does not fit and how to declare it (docs/ingest.md)"
)


def read(restricted: Restricted) -> dict[str, Any]:
    """The account of a run. Raises Refusal where ingest has not run."""
    account = files.read_json(restricted.ingest_report)
    if account is None or "out_of_balance" not in account:
        raise Refusal("there is no account of what ingest kept: run ingest first")
    return dict(account)


def kept_share(account: Mapping[str, Any]) -> float:
    """Of the patients that were read; those of other cohorts aside. 0 where there is none."""
    patients = account["patients"]
    n_read = patients["read"] - patients["other_cohorts"]
    return float(patients["kept"] / n_read) if n_read else 0.0


def shortfalls(account: Mapping[str, Any], min_share: float) -> list[str]:
    """Why so little is left that no release should be made: a line each; none where enough is."""
    problems = [
        f"the rows of {name} are not all accounted for: a defect of this program; please report it"
        for name in account["out_of_balance"]
    ]
    patients = account["patients"]
    if not patients["kept"]:
        problems.append(f"none of {patients['read']:,} patients is left")
    elif kept_share(account) < min_share:
        problems.append(
            f"{patients['kept']:,} of {patients['read']:,} patients are left"
            f" ({kept_share(account):.1%})"
        )
    for name, table in account["tables"].items():
        # rows of dropped patients are in the share of patients
        reasons = INTENDED | {OF_DROPPED}
        lost = sum(n for reason, n in table["left_out"].items() if reason not in reasons)
        if table["rows"] and lost > (1 - min_share) * table["rows"]:
            problems.append(f"{lost:,} of {table['rows']:,} rows of {name} are left out")
    events = account["events"]
    others = sum(n for reason, n in events["left_out"].items() if not reason.startswith("above "))
    if events["table"] and others > (1 - min_share) * (events["kept"] + others):
        problems.append(f"{others:,} rows of {events['table']} are no events")
    return problems


def lines(account: Mapping[str, Any]) -> list[str]:
    """The account as lines of text, whole numbers and reasons only: no value of a row."""
    return list(_lines(account))


def _lines(account: Mapping[str, Any]) -> Iterator[str]:
    patients = account["patients"]
    yield (
        f"{patients['read']:,} patients read, {patients['kept']:,} kept"
        f" ({kept_share(account):.1%}), {_n_dropped(patients):,} dropped"
    )
    if patients["other_cohorts"]:
        yield f"    {patients['other_cohorts']:>9,}  of cohorts that this release does not open"
    yield from _counts(_with_titles(account["dropped_patients_by_reason"]), "patients")
    for name, table in account["tables"].items():
        yield (
            f"Table {name} ({table['file']}): {table['rows']:,} rows read, {table['kept']:,} kept"
            f"; {_n_cells(table['repaired']):,} of {table['cells']:,} cells repaired,"
            f" {_n_cells(table['faults']):,} at fault"
        )
        if table["counted_twice"]:
            yield f"    {table['counted_twice']:>9,}  rows belong to two patients"
        yield from _counts(table["left_out"], "rows left out")
        yield from _counts(_flat(table["faults"]), "cells at fault")
        yield from _counts(_flat(table["repaired"]), "cells repaired")
    events = account["events"]
    if events["left_out"] or events["ends_moved"]:
        yield f"Events: {events['kept']:,} kept"
        yield from _counts(events["left_out"], "left out")
        yield from _counts(events["ends_moved"], "")
    for name in account["out_of_balance"]:
        yield f"DOES NOT BALANCE: {name}"


def _with_titles(reasons: Mapping[str, int]) -> dict[str, int]:
    """The reasons, a clinical rule with what it says."""
    titles = {f"rule {rule.id}": f"clinical rule {rule.id}: {rule.title}" for rule in RULES}
    return {titles.get(reason, reason): n for reason, n in reasons.items()}


def _counts(counts: Mapping[str, int], what: str) -> Iterator[str]:
    """The largest first; what they are, and how many further kinds there are."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for reason, n in ordered[:MOST_LINES]:
        yield f"    {n:>9,}  {what + ': ' if what else ''}{reason}"
    if len(ordered) > MOST_LINES:
        n_further = sum(n for _, n in ordered[MOST_LINES:])
        further = len(ordered) - MOST_LINES
        yield f"    {n_further:>9,}  {what}: {further} further reasons (data/ingest.json)"


def _n_dropped(patients: Mapping[str, int]) -> int:
    return patients["read"] - patients["kept"] - patients["other_cohorts"]


def _flat(by_column: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {
        f"{column}: {what}": n for column, counts in by_column.items() for what, n in counts.items()
    }


def _n_cells(by_column: Mapping[str, Mapping[str, int]]) -> int:
    return sum(_flat(by_column).values())


def section(account: Mapping[str, Any]) -> str:
    """HTML: patients, tables, and each reason."""
    patients = account["patients"]
    summary = [
        (
            "patients",
            f"{patients['read']:,}",
            f"{patients['kept']:,}",
            f"{_n_dropped(patients):,}",
            "",
            "",
        )
    ]
    summary += [
        (
            f"rows of {name}",
            f"{table['rows']:,}",
            f"{table['kept']:,}",
            f"{sum(table['left_out'].values()):,}",
            f"{_n_cells(table['repaired']):,}",
            f"{_n_cells(table['faults']):,}",
        )
        for name, table in account["tables"].items()
    ]
    parts = [
        f"<p>{kept_share(account):.1%} of the patients are kept. Each row and cell that was left"
        " out or changed is counted here.</p>",
        report.table(
            ("", "read", "kept", "dropped or left out", "cells repaired", "cells at fault"), summary
        ),
    ]
    for heading, rows in _reasons(account):
        if rows:
            header = ("where", "why", heading.split()[0].lower())
            parts += [f"<h3>{heading}</h3>", report.table(header, rows)]
    if account["out_of_balance"]:
        names = ", ".join(account["out_of_balance"])
        parts.append(f"<p><strong>The account does not balance: {names}.</strong></p>")
    return "".join(parts)


def _reasons(account: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(heading, rows of where, why and how many)."""
    reasons = _with_titles(account["dropped_patients_by_reason"])
    dropped = sorted(reasons.items(), key=lambda item: -item[1])
    yield (
        "Patients dropped, by reason",
        [(*_place_and_reason(reason), f"{n:,}") for reason, n in dropped],
    )
    tables = account["tables"].items()
    yield (
        "Rows left out",
        [(name, reason, f"{n:,}") for name, t in tables for reason, n in t["left_out"].items()],
    )
    events = account["events"]
    both = [*events["left_out"].items(), *events["ends_moved"].items()]
    yield "Events left out or moved", [(events["table"] or "", why, f"{n:,}") for why, n in both]
    for heading, field in (("Cells at fault", "faults"), ("Cells repaired", "repaired")):
        yield (
            heading,
            [
                (f"{name}.{column}", what, f"{n:,}")
                for name, t in tables
                for column, counts in t[field].items()
                for what, n in counts.items()
            ],
        )


def _place_and_reason(reason: str) -> tuple[str, str]:
    place, mark, why = reason.partition(": ")
    return (place, why) if mark else ("", reason)


def question(restricted: Restricted) -> str:
    """The account, for the question that a person is asked."""
    return "\n".join(lines(read(restricted)))


def question_or_reason(restricted: Restricted) -> str:
    """As `question`; why there is no account, where there is none. For the questions in Airflow,
    which are asked by what can be said.
    """
    try:
        return question(restricted)
    except Refusal as refusal:
        return str(refusal)
