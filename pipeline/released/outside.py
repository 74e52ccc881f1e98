"""What an outsider checks of a release by its files alone: no ledger, no restricted zone, no home.

Compared are the card and the manifest with the release's entry in the transparency log; that entry
with the charge that it opens; what the card says was spent with the sums of the log; and the log
with older copies of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import TRANSPARENCY, Release
from pipeline.dp import accounting, events, renyi
from pipeline.refusal import Refusal
from pipeline.released import manifest
from pipeline.released.mechanisms import mechanisms
from pipeline.released.membership import Share, membership_facts
from pipeline.released.released_log import parse
from pipeline.transparency.checking import growth_fault
from pipeline.transparency.commitments import Line, mechanism_sha256
from pipeline.transparency.proof import proof_faults
from pipeline.transparency.sums import charges_of, spent_of

PRECISION = 1e-9  # relative: sums of floats in another order
EPSILON_PRECISION = 1e-3  # relative: of the accounting by privacy loss distributions
NO_ENTRY = (
    f"there is no {TRANSPARENCY}: nothing shows that the release was charged (of one that is older"
    " than the log, a clone of the store shows it: --store)"
)


@dataclass(frozen=True)
class Copy:
    """An older copy of the log: the lines that it had. `older`: releases from before the log, by
    {release id: manifest's sha256}, of which somebody kept one.
    """

    log: Sequence[Line]
    release: Mapping[str, str]


def proof_of_release(release: Release) -> Mapping[str, Any]:
    """Raises Refusal where the release brings none."""
    proof = files.read_json(release.transparency)
    if proof is None:
        raise Refusal(NO_ENTRY)
    return proof


def charge_faults(release: Release) -> Iterator[str]:
    """Whether the release's charge is in the log that it brings."""
    proof = proof_of_release(release)
    yield from proof_faults(proof)
    line = proof["log"][proof["index"]]
    facts, card = manifest.read(release.root), files.read_json(release.card)
    privacy = card["privacy"]
    if line["release_id"] != facts["release_id"] or card["release_id"] != facts["release_id"]:
        yield f"the entry is about {line['release_id']}, the manifest about {facts['release_id']}"
    if line["content"] != manifest.content_sha256(release.root):
        yield "the entry was made for another manifest"
    if line["model"] != files.folder_sha256(release.model):
        yield "the entry was made for another model"
    if card["drawn_from"] != line.get("drawn_from"):
        yield "the card names another release that it was drawn from than the entry"
    if privacy["log_entry"] != proof["index"]:
        yield "the card names another entry of the log"
    charge = _charge_of(proof["log"], line)
    if charge is None:
        return
    fields = ("epsilon", "delta", "charge", "population", "chain_head", "cohorts")
    if differing := [name for name in fields if privacy[name] != charge[name]]:
        yield f"the card says otherwise than the log: {', '.join(differing)}"
    if privacy["renyi_order"] != charge["order"]:
        yield "the card says otherwise than the log: renyi_order"
    if line["kind"] == "charged":
        yield from _mechanism_faults(line, proof["mechanism"], privacy["mechanisms"])


def _charge_of(log: Sequence[Line], line: Line) -> Line | None:
    """The line that shows the charge: its own, or that of the model it was drawn from. None where
    that one was published before there was a log.
    """
    if line["kind"] == "charged":
        return line
    return next(
        (one for one in log if one.get("release_id") == line["drawn_from"]),
        None,
    )


def _mechanism_faults(
    line: Line, mechanism: Mapping[str, Any], card: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """`mechanism`: the event that was charged; `card`: what the card says ran."""
    event = events.from_json(dict(mechanism))
    if mechanism_sha256(event) != line["mechanism"]:
        yield "the mechanisms are not those of the entry"
        return
    if mechanisms(event) != card:
        yield "the card lists other mechanisms than those that were charged"
    rdp, epsilon = renyi.rdp(event, line["order"]), accounting.epsilon(event, line["delta"])
    if not math.isclose(rdp, line["rdp"], rel_tol=PRECISION):
        yield f"the mechanisms cost {rdp:.6g}, and the entry says {line['rdp']:.6g}"
    if epsilon > line["epsilon"] * (1 + EPSILON_PRECISION):
        yield f"the mechanisms keep epsilon {epsilon:.6g}, and the card says {line['epsilon']:.6g}"


def sum_faults(release: Release) -> Iterator[str]:
    """Whether the card says of all releases so far what the log's charges add up to, and of the
    chance of a right guess what follows from it.
    """
    proof, privacy = proof_of_release(release), files.read_json(release.card)["privacy"]
    log, membership = proof["log"], privacy["membership"]
    own = [one for one in membership["populations"] if one["population"] == privacy["population"]]
    if len(own) != 1 or own[0]["charges"] != privacy["releases_charged"]:
        yield "the card counts its own population's releases in two ways"
        return
    for share in membership["populations"]:
        yield from _share_faults(log, share)
    names = {one["population"] for one in membership["populations"]}
    if names != set(privacy["overlapping_populations"]):
        yield "the card does not count every population that may hold the same patients"
    yield from _own_faults(privacy, own[0])
    again = membership_facts([Share(**one) for one in membership["populations"]])
    if not _alike(again, membership):
        yield "the chance of a right guess is not the one that follows from what was spent"


def counts_older(log: Sequence[Line], membership: Mapping[str, Any]) -> bool:
    """Whether the card counts charges from before the log, which it therefore cannot show."""
    return any(
        one["charges"] > len(charges_of(log, one["population"]))
        for one in membership["populations"]
    )


def _share_faults(log: Sequence[Line], share: Mapping[str, Any]) -> Iterator[str]:
    population, n_listed = share["population"], len(charges_of(log, share["population"]))
    if share["charges"] < n_listed:
        yield (
            f"the card counts {share['charges']} charges of {population}, and the log lists"
            f" {n_listed}"
        )
    elif share["charges"] > n_listed and not log[0]["older"]:
        yield f"the card counts charges of {population} that the log does not list"
    elif share["rdp"] < spent_of(log, population) * (1 - PRECISION):
        yield f"the card says that {population} spent less than the log's charges add up to"
    elif share["charges"] == n_listed and not math.isclose(
        share["rdp"], spent_of(log, population), rel_tol=PRECISION
    ):
        yield (
            f"the card says that population {population} spent {share['rdp']:.6g}, and the charges"
            f" in the log add up to {spent_of(log, population):.6g}"
        )


def _own_faults(privacy: Mapping[str, Any], share: Mapping[str, Any]) -> Iterator[str]:
    """The figures of the card's own population, each from the sum and the declared budget."""
    order, delta = privacy["renyi_order"], privacy["delta"]
    limit = renyi.rdp_limit(order, privacy["epsilon_total"], delta)
    figures = {
        "epsilon_spent": renyi.epsilon_of_rdp(order, share["rdp"], delta),
        "share_spent": share["rdp"] / limit,
    }
    for name, value in figures.items():
        if not math.isclose(privacy[name], value, rel_tol=PRECISION):
            yield f"{name} on the card is {privacy[name]:.6g}, and {value:.6g} follows from the log"
    ceiling = renyi.rdp_limit(order, privacy["epsilon_ceiling"], delta)
    if share["order"] != order or not math.isclose(
        share["rdp_ceiling"], ceiling, rel_tol=PRECISION
    ):
        yield "the card's ceiling is not the one that follows from its epsilon and delta"


def _alike(value: Any, other: Any) -> bool:
    """Equal, but for the last digits of floats."""
    if isinstance(value, Mapping):
        return (
            isinstance(other, Mapping)
            and value.keys() == other.keys()
            and all(_alike(value[name], other[name]) for name in value)
        )
    if isinstance(value, list):
        return len(value) == len(other) and all(map(_alike, value, other))
    if isinstance(value, float):
        return math.isclose(value, other, rel_tol=PRECISION)
    return bool(value == other)


def older_copy(path: Path) -> Copy:
    """What somebody kept: the folder of an older release, its `transparency.json`, or a log. Raises
    Refusal for anything else.
    """
    place = path / TRANSPARENCY if path.is_dir() else path
    if path.is_dir() and not place.exists() and Release(path).manifest.exists():
        name = str(manifest.read(path)["release_id"])
        return Copy([], {name: manifest.sha256(Release(path).manifest)})
    try:
        text = place.read_text(encoding="utf-8")
        log = parse(text) if place.suffix == ".jsonl" else json.loads(text)["log"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"{path} is neither an older release's folder nor its {TRANSPARENCY} nor a copy of the"
            f" log ({type(error).__name__})"
        ) from error
    return Copy(log, {})


def growth_faults(log: Sequence[Line], copy: Copy) -> Iterator[str]:
    """Whether the log is the older copy with entries added."""
    if fault := growth_fault(log, copy.log):
        yield fault
    older = {one["release_id"]: one["manifest"] for one in log[0]["older"]}
    for name, sha256 in copy.release.items():
        if older.get(name) != sha256:
            yield f"the log's first entry does not name the older release {name}, or another one"
