"""The file that every release brings with it: the log as far as the release, and its proofs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.transparency import tree
from pipeline.transparency.checking import log_faults, log_root
from pipeline.transparency.commitments import Line, line_hash

FORMAT = 1


def proof_of(
    log: Sequence[Line], earlier_size: int, mechanism: Mapping[str, Any] | None
) -> dict[str, Any]:
    """For the release of the log's last line. `earlier_size`: how many lines there were before it
    was published; 0: the log begins with it. `mechanism`: the event that was charged, as JSON; None
    for an extract that was drawn from a published model.
    """
    hashes = [line_hash(line) for line in log]
    index = len(log) - 1
    return {
        "format": FORMAT,
        "index": index,
        "size": len(log),
        "root": tree.root(hashes).hex(),
        "inclusion": [node.hex() for node in tree.inclusion_path(index, hashes)],
        "earlier": {
            "size": earlier_size,
            "root": tree.root(hashes[:earlier_size]).hex(),
            "consistency": [node.hex() for node in tree.consistency_path(earlier_size, hashes)]
            if earlier_size
            else [],
        },
        "mechanism": mechanism,
        "log": list(log),
    }


def proof_faults(proof: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in the file by itself."""
    log, root = proof["log"], bytes.fromhex(proof["root"])
    yield from log_faults(log)
    if (proof["size"], root) != (len(log), log_root(log)):
        yield "the root of the hash tree is not the one over its entries: an entry was altered"
    if not tree.is_included(
        line_hash(log[proof["index"]]),
        proof["index"],
        proof["size"],
        [bytes.fromhex(node) for node in proof["inclusion"]],
        root,
    ):
        yield "the proof that the release's entry is in the log does not hold"
    earlier = proof["earlier"]
    if earlier["size"] and not tree.is_consistent(
        earlier["size"],
        bytes.fromhex(earlier["root"]),
        proof["size"],
        root,
        [bytes.fromhex(node) for node in earlier["consistency"]],
    ):
        yield "the proof that the log only grew since the release before does not hold"
