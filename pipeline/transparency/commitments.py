"""What a leaf of the ledger's hidden trees is, for who makes them and for who checks one.

Each entry of the ledger gives one leaf of three commitments: to what a charge cost, to whose it
was, and to the entry's hash, which is the chain's head just after it. A commitment is SHA-256 over
a secret salt of 32 bytes and what it hides; who is told the salt can check it, and nobody else can
try out what it may hide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import dp_accounting as dpa

from pipeline.dp import events
from pipeline.transparency import tree

Line = Mapping[str, Any]  # of the log


def canonical(value: Any) -> bytes:
    """The one text of a JSON value: what is hashed, and what stands in the log's file."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    ).encode()


def line_hash(line: Line) -> bytes:
    """The leaf of a line in the log's own tree."""
    return tree.leaf_hash(canonical(line))


def commitment(salt: bytes, hidden: bytes) -> bytes:
    """`salt`: 32 bytes, so that it is told from what is hidden."""
    return hashlib.sha256(salt + hidden).digest()


def entry_leaf(cost: bytes, name: bytes, head: bytes) -> bytes:
    """The leaf of a ledger's entry, of its three commitments."""
    return tree.leaf_hash(cost + name + head)


def cost_facts(line: Line, charge: Mapping[str, Any]) -> bytes:
    """What a charge cost: shown of every charge of a population, published or not. `line`: the one
    that lists it.
    """
    return canonical(
        {
            "population": line["population"],
            "order": line["order"],
            **{name: charge[name] for name in ("charge", "rdp", "cohorts")},
        }
    )


def name_facts(line: Line) -> bytes:
    """Whose charge it was: shown when the release is published, by its line."""
    return canonical({name: line[name] for name in ("release_id", "epsilon", "delta", "mechanism")})


def mechanism_sha256(event: dpa.DpEvent) -> str:
    """Of everything that a release was charged for, in its canonical form."""
    return hashlib.sha256(events.canonical_string(event).encode()).hexdigest()
