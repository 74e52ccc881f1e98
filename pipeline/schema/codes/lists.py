"""Public code lists of `datasets/codes/*.yaml`: how a file is read, and its small lists.

The declaration, the grammar, the rules, the table rebuild and the simulator all read the lists
here and in the modules beside this one, as immutable values.

Each function reads its file once and keeps the answer. A mistake in a file is a Refusal that names
file and entry.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from pipeline.refusal import Refusal

CODES = Path(__file__).resolve().parents[3] / "datasets" / "codes"
BOTH_SEXES = ("1", "2")
CHARLSON_SCORE = "Charlon score"  # as the workbook spells it


@cache
def read(file: str) -> dict[str, Any]:
    raw = yaml.safe_load((CODES / file).read_text(encoding="utf-8"))
    if "source" not in raw:
        raise Refusal(f"datasets/codes/{file} has no `source:`")
    return dict(raw)


@cache
def lookups() -> Mapping[str, Mapping[str, str]]:
    """All small lists: name -> {code: description}; `site` has the names of sites.yaml."""
    lists = {name: dict(entry["codes"]) for name, entry in read("lookups.yaml")["lists"].items()}
    lists["site"] = {code: site["name"] for code, site in read("sites.yaml")["sites"].items()}
    return MappingProxyType({name: MappingProxyType(codes) for name, codes in lists.items()})


def lookup(name: str) -> Mapping[str, str]:
    """One small list, {code: description}."""
    if name not in lookups():
        raise Refusal(
            f"datasets/codes/lookups.yaml has no list {name!r}; it has {', '.join(lookups())}"
        )
    return lookups()[name]


def sheet(name: str) -> str:
    """The list's sheet in the official look-up workbook, or the name of that kind that ours has."""
    return str(read("lookups.yaml")["lists"].get(name, {}).get("sheet", f"z_{name}"))


def workbook_cell(name: str, code: str) -> str | int:
    """A code as it stands in the official workbook: code that merges columns with the sheet finds
    numbers there where the workbook has numbers.
    """
    numbers = read("lookups.yaml")["lists"].get(name, {}).get("numbers")
    is_plain = code.isdecimal() and str(int(code)) == code
    if (numbers == "plain" and is_plain) or (numbers == "padded" and code.isdecimal()):
        return int(code)
    return code


def more_columns(name: str) -> Mapping[str, Mapping[str, str | int]]:
    """What the official sheet says besides: header -> {code: cell}."""
    return dict(read("lookups.yaml")["lists"].get(name, {}).get("more", {}))


@cache
def comorbidity_weights() -> Mapping[str, int]:
    """Charlson group -> score; 0 for the group that has none."""
    scores = more_columns("comorbidity")[CHARLSON_SCORE]
    return MappingProxyType(
        {group: one if isinstance(one, int) else 0 for group, one in scores.items()}
    )


def charlson_total(groups: tuple[str, ...] | list[str]) -> int:
    """Sum of the Charlson weights of `groups`, where 10 supersedes 09 and 17 supersedes 15 (NDRS
    27-03).
    """
    present = set(groups)
    for winner, loser in read("lookups.yaml")["comorbidity_supersedes"]["supersedes"].items():
        if winner in present:
            present.discard(loser)
    return sum(comorbidity_weights()[group] for group in present)


@cache
def site_groups() -> tuple[str, ...]:
    return tuple(read("sites.yaml")["groups"])
