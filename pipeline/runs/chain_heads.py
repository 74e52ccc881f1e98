"""The head of the ledger's chain as this home saw it last in each run. It outlives the runs, so
that a ledger that lost its newest entries is found out, the last one too.
"""

from __future__ import annotations

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger


def note(home: Home, release_id: str) -> None:
    """Notes the head after an entry about a release: trained, released, abandoned, declined."""
    files.private_folder(home.chain_heads)
    entries = Ledger(home.ledger).entries()
    files.write_json(
        home.chain_heads / f"{release_id}.json",
        {"head": entries[-1].hash, "entry": entries[-1].number},
    )


def notes(home: Home) -> dict[str, str]:
    """{where: head} of every note."""
    paths = sorted(home.chain_heads.glob("[!.]*.json"))
    return {f"the note of {path.stem}": str(files.read_json(path)["head"]) for path in paths}
