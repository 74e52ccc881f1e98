"""The head of the ledger's chain as this home saw it last in each run. It outlives the runs, so
that a ledger that lost its newest entries is found out, the last one too.

For several hosts the notes lie in the checkpoint store, and not in the database: an old copy of the
database that is put back would bring old notes with it.
"""

from __future__ import annotations

import json

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs.object_store import checkpoint_store

_SHARED = "chain-heads/"


def note(home: Home, release_id: str) -> None:
    """Notes the head after an entry about a release: charged, trained, released, abandoned,
    declined.
    """
    entries = Ledger(home.ledger).entries()
    head = {"head": entries[-1].hash, "entry": entries[-1].number}
    files.private_folder(home.chain_heads)
    files.write_json(home.chain_heads / f"{release_id}.json", head)
    if home.deployment.is_shared:
        checkpoint_store(home).put(f"{_SHARED}{release_id}.json", json.dumps(head).encode())


def notes(home: Home) -> dict[str, str]:
    """{where: head} of every note, those of other hosts included."""
    paths = sorted(home.chain_heads.glob("[!.]*.json"))
    local = {f"the note of {path.stem}": str(files.read_json(path)["head"]) for path in paths}
    return local | (_shared(home) if home.deployment.is_shared else {})


def _shared(home: Home) -> dict[str, str]:
    store = checkpoint_store(home)
    heads = {name: store.get(name) or b"" for name in store.names(_SHARED)}
    try:
        return {
            f"the shared note of {name.removeprefix(_SHARED)}": str(json.loads(head)["head"])
            for name, head in heads.items()
        }
    except (ValueError, KeyError):
        raise Refusal(
            "a note of a chain head in the checkpoint store is damaged: put the store back as it"
            " was. Nothing was charged"
        ) from None
