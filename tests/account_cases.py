"""The account of an ingest that kept everybody, for tests that begin behind it."""

from __future__ import annotations

from pipeline import files
from pipeline.catalog import Restricted
from pipeline.restricted.ingest import origin
from pipeline.restricted.ingest.account import Account


def write_account(
    restricted: Restricted,
    n_patients: int = 80,
    n_kept: int | None = None,
    of: origin.Origin | None = None,
) -> None:
    """`ingest.json` of a source of one table, whose dropped patients are at fault in one column.
    of: whose rows they are, for tests of what is charged.
    """
    n_kept = n_patients if n_kept is None else n_kept
    account = Account()
    account.patients.update(read=n_patients, kept=n_kept)
    account.rows_read["rows"], account.rows_kept["rows"] = n_patients, n_kept
    account.cells_read["rows"] = 2 * n_patients
    if n_kept < n_patients:
        account.leave_out("rows", "rows of patients who are dropped", n_patients - n_kept)
        account.dropped["rows.born: does not parse"] = n_patients - n_kept
        account.faults["rows", "born", "does not parse"] = n_patients - n_kept
    report = account.to_json({"rows": "rows.csv"}, None)
    noted = {} if of is None else origin.to_json(of)
    files.write_json(restricted.ingest_report, report | noted)
