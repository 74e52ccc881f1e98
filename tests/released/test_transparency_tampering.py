"""An outsider finds every kind of tampering with the ledger, the log and a release, by a folder, an
older copy or a clone of the store, and is told what is wrong.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transparency_cases import (
    STORY,
    Asked,
    attach,
    changed_entry,
    entries_of,
    faults,
    forge_ledger,
    forge_releases,
    manifest,
    plain,
    put_together,
    rewrite_card,
    told,
)

from pipeline import files
from pipeline.catalog import Home, Release
from pipeline.released import released_log, verify
from pipeline.runs import version_stores
from pipeline.transparency.commitments import canonical
from pipeline.transparency.proof import proof_of

PUBLISHED = tuple(asked for asked in STORY if not asked.is_refused)
CHARGED = tuple(asked for asked in PUBLISHED if asked.drawn_from is None)
LAST = PUBLISHED[-1]


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Home:
    return told(Home(tmp_path_factory.mktemp("honest") / "home"))


@dataclass(frozen=True)
class Scene:
    """What the tampering has to work with: a copy of every release, which it may change."""

    honest: Home
    folder: Path
    chance: random.Random

    def release(self, asked: Asked) -> Release:
        copy = self.folder / "copies" / asked.release_id
        if not copy.exists():
            shutil.copytree(self.honest.release(asked.release_id).root, copy)
        return Release(copy)

    def proof(self, asked: Asked) -> dict[str, Any]:
        return plain(files.read_json(self.release(asked).transparency))

    def forge(self, asked: Asked, change: Callable[[dict[str, Any]], None]) -> Release:
        """A changed log in a release, with proofs that fit it."""
        proof = self.proof(asked)
        change(proof)
        attach(
            self.release(asked),
            proof_of(proof["log"], proof["earlier"]["size"], proof["mechanism"]),
        )
        return self.release(asked)

    def older(self) -> Path:
        """What somebody kept of before the last release: it shows the entries up to its own."""
        return self.honest.release("second-1").root

    def clone(self) -> Path:
        clone = self.folder / "clone"
        version_stores.clone(self.honest.released_store, clone)
        return clone

    def entry(self) -> int:
        """The place of an entry about people that a log of before the last release covers, and that
        a forger can do without: no opening, no charge of what was published.
        """
        entries = entries_of(self.honest)
        names = {asked.release_id for asked in CHARGED}
        covered = next(
            place
            for place, one in enumerate(entries)
            if (one.release_id, one.kind) == ("second-1", "reserved")
        )
        return self.chance.choice(
            [
                place
                for place, one in enumerate(entries[:covered])
                if one.population == "people"
                and one.kind != "opened"
                and not (one.kind == "reserved" and one.release_id in names)
            ]
        )


Tampering = Callable[[Scene], dict[str, str]]


def entry_deleted(scene: Scene) -> dict[str, str]:
    entries = entries_of(scene.honest)
    del entries[scene.entry()]
    return rebuilt(scene, entries)


def entry_altered(scene: Scene) -> dict[str, str]:
    entries, place = entries_of(scene.honest), scene.entry()
    old = entries[place]
    entries[place] = changed_entry(
        old, **({"rdp": 1e-9} if old.kind == "reserved" else {"reason": "another"})
    )
    return rebuilt(scene, entries)


def rebuilt(scene: Scene, entries: list[Any]) -> dict[str, str]:
    """The forger's ledger, log and releases all fit each other; an older copy does not."""
    home = Home(scene.folder / "forged")
    forge_ledger(home, entries)
    forge_releases(home, PUBLISHED)
    forged = home.release(LAST.release_id).root
    assert not faults(forged)
    return faults(forged, older=scene.older())


def two_logs(scene: Scene) -> dict[str, str]:
    """Two readers are shown two logs: one without a release that the other one was shown."""
    home = Home(scene.folder / "forged")
    forge_ledger(home, entries_of(scene.honest))
    forge_releases(home, [one for one in PUBLISHED if one.release_id != "elsewhere-1"])
    return faults(home.release(LAST.release_id).root, older=scene.older())


def no_file(scene: Scene) -> dict[str, str]:
    return faults(without_file(scene).root)


def no_log(scene: Scene) -> dict[str, str]:
    """Neither the release nor the store has one, as if both were older than any log."""
    clone, release = scene.clone(), without_file(scene)
    keep_log(clone, [])
    return faults(release.root, store=clone)


def without_file(scene: Scene) -> Release:
    release = scene.release(scene.chance.choice(PUBLISHED))
    release.transparency.unlink()
    facts = manifest.read(release.root)
    facts.pop("files")
    manifest.write(release.root, facts)
    return release


def uncharged(scene: Scene) -> dict[str, str]:
    """Another model under the name and the charge of a release, with a manifest that fits."""
    asked = scene.chance.choice(PUBLISHED)
    release = scene.release(asked)
    files.write_json(release.model / "model.json", {"of": "nobody paid for this"})
    manifest.add_file(release.root, release.model / "model.json")
    return faults(release.root)


def charge_of_another(scene: Scene) -> dict[str, str]:
    """A release that was never charged takes the charge of another one, in a log of its own."""
    asked = Asked("uncharged-1", sigma=2.0)
    proof = scene.proof(LAST)
    paid = scene.chance.choice([one for one in proof["log"][1:] if one["kind"] == "charged"])
    release = Release(scene.folder / asked.release_id)
    put_together_like(scene, release, asked, paid["release_id"], proof["log"])
    line = {**paid, "release_id": asked.release_id, "charges": []}
    line["content"] = manifest.content_sha256(release.root)
    line["model"] = files.folder_sha256(release.model)
    attach(release, proof_of([*proof["log"], line], len(proof["log"]), proof["mechanism"]))
    return faults(release.root)


def no_charge(scene: Scene) -> dict[str, str]:
    """A draw from a model that no entry of the log paid for."""
    return drawn_from(scene, "uncharged-1")


def put_together_like(
    scene: Scene, release: Release, asked: Asked, charged: str, log: list[Any]
) -> None:
    """A card that says of an uncharged release what another one's charge is."""
    borrowed = Asked(charged, population=asked.population)
    put_together(scene.honest, release, borrowed, log)
    for path in (release.card, release.manifest):
        files.write_json(path, files.read_json(path) | {"release_id": asked.release_id})
    manifest.add_file(release.root, release.card)


def another_model(scene: Scene) -> dict[str, str]:
    """A draw whose entry names another model that was paid for."""
    return drawn_from(scene, "second-1")


def drawn_from(scene: Scene, model: str) -> dict[str, str]:
    """The draw's entry names this model, which its card does not."""

    def change(proof: dict[str, Any]) -> None:
        proof["log"][-1]["drawn_from"] = model

    return faults(scene.forge(next(one for one in STORY if one.drawn_from), change).root)


def not_in_the_log(scene: Scene) -> dict[str, str]:
    """A tag in the store, and no entry."""
    clone = scene.clone()
    sha256 = f"{scene.chance.getrandbits(256):064x}"
    version_stores.git("tag", "-a", "free-1", "-m", f"manifest sha256 {sha256}", cwd=clone)
    return faults(scene.release(LAST).root, store=clone)


def log_truncated(scene: Scene) -> dict[str, str]:
    """The log of the store loses its end, or a line within."""
    clone = scene.clone()
    log = released_log.read(clone)
    if scene.chance.random() < 0.5:
        log = log[: scene.chance.randrange(1, len(log))]
    else:
        del log[scene.chance.randrange(1, len(log))]
    return stored(scene, clone, log)


def stored(scene: Scene, clone: Path, log: list[Any]) -> dict[str, str]:
    keep_log(clone, log)
    return faults(scene.release(scene.chance.choice(PUBLISHED)).root, store=clone)


def keep_log(clone: Path, log: list[Any]) -> None:
    text = "".join(canonical(line).decode() + "\n" for line in log)
    files.write_text(clone / released_log.LOG, text)
    version_stores.commit_all(clone, "another log")
    version_stores.git("update-ref", "refs/remotes/origin/main", "HEAD", cwd=clone)


def line_removed(scene: Scene) -> dict[str, str]:
    """From the log that a release brings, with proofs that fit: an earlier reader kept another."""

    def change(proof: dict[str, Any]) -> None:
        del proof["log"][scene.chance.randrange(0, len(proof["log"]) - 1)]
        proof["earlier"]["size"] = 0

    return faults(scene.forge(LAST, change).root, older=scene.older())


def proofs_swapped(scene: Scene) -> dict[str, str]:
    first, second = scene.chance.sample(PUBLISHED, 2)
    release = scene.release(first)
    attach(release, scene.proof(second))
    return faults(release.root)


def path_altered(scene: Scene) -> dict[str, str]:
    """One node of a proof in the file."""
    proof, release = scene.proof(LAST), scene.release(LAST)
    nodes = scene.chance.choice([proof["inclusion"], proof["earlier"]["consistency"]])
    nodes[scene.chance.randrange(len(nodes))] = f"{scene.chance.getrandbits(256):064x}"
    attach(release, proof)
    return faults(release.root)


def line_altered(scene: Scene) -> dict[str, str]:
    """A figure of a charge, in an entry: the tree over the entries fits again, or not."""
    asked = scene.chance.choice(CHARGED)
    field = scene.chance.choice(["rdp", "epsilon", "spent_rdp", "charge", "chain_head", "ledger"])

    def change(proof: dict[str, Any]) -> None:
        line = proof["log"][-1]
        value = line[field]
        line[field] = value[::-1] if isinstance(value, str) else value * 2

    if scene.chance.random() < 0.5:
        return faults(scene.forge(asked, change).root)
    proof = scene.proof(asked)
    change(proof)
    attach(scene.release(asked), proof)
    return faults(scene.release(asked).root)


def listed_charge_altered(scene: Scene) -> dict[str, str]:
    """A charge that was never published costs less, or is not listed, and all sums fit that."""

    def change(proof: dict[str, Any]) -> None:
        line = next(one for one in proof["log"] if one.get("release_id") == "second-1")
        if scene.chance.random() < 0.5:
            line["charges"][0]["rdp"] /= 2
        else:
            del line["charges"][0]

    return faults(scene.forge(LAST, change).root)


def sums_altered(scene: Scene) -> dict[str, str]:
    """The card says that less was spent, or that less can be learned."""
    field = scene.chance.choice(["share_spent", "epsilon_spent", "releases_charged", "found"])

    def change(card: dict[str, Any]) -> None:
        privacy = card["privacy"]
        if field == "found":
            scene.chance.choice(privacy["membership"]["so_far"])["found_at_most"] /= 2
        else:
            privacy[field] = type(privacy[field])(privacy[field] / 2)

    release = scene.release(scene.chance.choice(PUBLISHED))
    rewrite_card(release, change)
    return faults(release.root)


def manifest_swapped(scene: Scene) -> dict[str, str]:
    first, second = scene.chance.sample(PUBLISHED, 2)
    release = scene.release(first)
    shutil.copyfile(scene.release(second).manifest, release.manifest)
    return faults(release.root)


def mechanism_altered(scene: Scene) -> dict[str, str]:
    """In the file of the log, or on the card."""
    asked = scene.chance.choice(CHARGED)
    if scene.chance.random() < 0.5:
        release = scene.release(asked)
        rewrite_card(release, lambda card: card["privacy"]["mechanisms"][0].update(times=2))
        return faults(release.root)
    proof = scene.proof(asked)
    proof["mechanism"]["events"][0]["of"]["sigma"] *= 1 + scene.chance.random()
    attach(scene.release(asked), proof)
    return faults(scene.release(asked).root)


OTHER = "was another one in the older copy"
# {tampering: (how often, words of what is said)}
TAMPERINGS: dict[Tampering, tuple[int, tuple[str, ...]]] = {
    entry_deleted: (4, (OTHER,)),
    entry_altered: (4, (OTHER,)),
    two_logs: (1, (OTHER,)),
    no_file: (2, ("nothing shows that the release was charged",)),
    no_log: (2, ("nothing shows that the release was charged",)),
    uncharged: (2, ("the entry was made for another manifest", "another model")),
    charge_of_another: (2, ("paid for another release already",)),
    no_charge: (1, ("for which no earlier entry shows a charge",)),
    another_model: (1, ("another release that it was drawn from than the entry",)),
    not_in_the_log: (2, ("free-1 was published without an entry in the log",)),
    log_truncated: (3, ("entries were removed", OTHER, "without an entry")),
    line_removed: (2, (OTHER, "lacks its first entry", "older copy of the log has")),
    proofs_swapped: (3, ("the entry is about",)),
    path_altered: (3, ("does not hold",)),
    line_altered: (4, ("entry ", "the root of the hash tree")),
    listed_charge_altered: (3, ("is not in the ledger", "not numbered one after the other")),
    sums_altered: (4, ("on the card is", "in two ways", "does not count", "right guess")),
    manifest_swapped: (2, ("the entry is about", "does not have the checksum")),
    mechanism_altered: (4, ("the mechanisms are not those of", "the card lists other mechanisms")),
}
CASES = [(do, seed) for do, (times, _) in TAMPERINGS.items() for seed in range(times)]


def test_what_nobody_touched_is_sound(honest):
    for asked in PUBLISHED:
        folder = honest.release(asked.release_id).root
        assert faults(folder, store=honest.released_store) == {}
    assert faults(folder, older=honest.release("first-1").root) == {}


@pytest.mark.parametrize(
    ("tamper", "seed"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_every_tampering_is_found(honest, tmp_path, tamper, seed):
    found = tamper(Scene(honest, tmp_path, random.Random(f"{tamper.__name__} {seed}")))
    words = " ".join(found.values())
    assert any(said in words for said in TAMPERINGS[tamper][1]), found
    assert {verify.CHARGE, verify.SUMS, verify.STORE, verify.GROWTH} & set(found)
