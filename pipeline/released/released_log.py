"""The transparency log in the released version store, and the file that each release brings of it.

The log is a file of the store's main line, which only grows: a release's commit adds its line, so
that a release and its line appear together or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.catalog import TRANSPARENCY, Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal
from pipeline.runs import mirrors, version_stores
from pipeline.transparency.checking import first_line, growth_fault, log_faults
from pipeline.transparency.commitments import Line

LOG = "transparency.jsonl"  # right in the released version store
BRANCHES = ("refs/remotes/origin/main", "refs/heads/main")  # of a clone, and of the store itself
_MANIFEST = re.compile(r"manifest sha256 ([0-9a-f]{64})")


def read(store: Path) -> list[Line]:
    """The log of a released version store, or of a clone of it; empty where there is none yet."""
    mirrors.update(store)
    if not store.is_dir():
        return []
    present = version_stores.git("for-each-ref", "--format=%(refname)", cwd=store).split()
    branch = next((name for name in BRANCHES if name in present), "HEAD")
    return parse(version_stores.text_at(store, branch, LOG) or "")


def parse(text: str) -> list[Line]:
    """Raises ValueError for what is no log."""
    return [json.loads(line) for line in text.splitlines() if line]


def to_follow(home: Home) -> list[Line]:
    """The log that the next release follows. It begins with what was published before there was
    one, by the store's tags and by the ledger.

    Raises Refusal where the store has lost it.
    """
    if log := read(home.released_store):
        return log
    with_log = [path.parent.name for path in home.published.glob(f"[!.]*/{TRANSPARENCY}")]
    # another host's release has no copy here
    tags = version_stores.tags(home.released_store)
    with_log += [tag for tag in tags if version_stores.text_at(home.released_store, tag, LOG)]
    if with_log:
        raise Refusal(
            "the released version store has no transparency log, and the release"
            f" {min(with_log)} brings one: restore the store from its backup. A log that"
            " begins anew is another one than readers keep. Nothing was published"
        )
    return [first_line(_published(Ledger(home.ledger)) | _manifests(home.released_store))]


def before(home: Home, release_id: str) -> list[Line]:
    """The log that this release follows, or followed when it was published."""
    log = to_follow(home)
    names = [line.get("release_id") for line in log]
    return log[: names.index(release_id)] if release_id in names else log


def store_faults(store: Path) -> Iterator[str]:
    """Whether a store's log is sound, every release there has its entry or is older than the log,
    and each brings a copy that the log began as.
    """
    log, tagged = read(store), _manifests(store)
    if not log:
        return
    yield from log_faults(log)
    older = {one["release_id"]: one["manifest"] for one in log[0].get("older", ())}
    lines = {line["release_id"]: line for line in log[1:]}
    for name in sorted(lines.keys() - tagged.keys()):
        yield f"the log names {name}, and the store holds no such release"
    for name, sha256 in sorted(tagged.items()):
        if name in older:
            if older[name] != sha256:
                yield f"{name}, published before the log, is not the one that its first entry names"
        elif name not in lines:
            yield f"{name} was published without an entry in the log"
        else:
            path = f"{lines[name]['dataset']}/{TRANSPARENCY}"
            text = version_stores.text_at(store, name, path)
            copy = json.loads(text)["log"] if text else []
            if not copy or copy[-1]["release_id"] != name:
                yield f"{name} does not bring its entry of the log"
            elif fault := growth_fault(log, copy):
                yield f"{name} brings another log: {fault}"


def _published(ledger: Ledger) -> dict[str, str]:
    """{release: sha256 of its manifest}, as the ledger noted them when they were published."""
    return {
        str(entry.release_id): str(entry.facts.get("manifest", ""))
        for entry in ledger.entries()
        if entry.kind == "released"
    }


def _manifests(store: Path) -> dict[str, str]:
    """{release: sha256 of its manifest}, as the tags of a store have it."""
    matches = {
        tag: _MANIFEST.search(message)
        for tag, message in version_stores.tag_messages(store).items()
    }
    return {tag: match[1] if match else "" for tag, match in matches.items()}
