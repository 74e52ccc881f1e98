"""Mappings and lists of YAML with what came from rows marked, or, of published rows, cited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.schema.review import REVIEW


@dataclass(frozen=True)
class Statement:
    """What the person says who asks for the draft, and rows cannot. `published`: where these very
    rows were published, so that what is read from them has a public source.
    """

    name: str
    kind: str = "confidential"
    published: str | None = None
    universe: str | None = None
    size: int | None = None


def mapping(**entries: Any) -> CommentedMap:
    return CommentedMap((name, value) for name, value in entries.items() if value is not None)


def flow(entries: Mapping[str, Any]) -> CommentedMap:
    """On one line."""
    one_line = CommentedMap(entries)
    one_line.fa.set_flow_style()
    return one_line


def listing(values: Sequence[Any]) -> CommentedSeq:
    one_line = CommentedSeq(values)
    one_line.fa.set_flow_style()
    return one_line


def marked(entry: CommentedMap, facts: Mapping[str, Any], statement: Statement) -> CommentedMap:
    """The entry with what rows told: under `review:`, or with the source where they were
    published.
    """
    plain = {
        name: listing(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    if plain and statement.published:
        entry.update(plain)
    elif plain:
        entry[REVIEW] = flow(plain)
    return entry


def rounded(number: float) -> int:
    """To two digits, for an order of magnitude."""
    return int(float(f"{max(number, 1):.2g}"))
