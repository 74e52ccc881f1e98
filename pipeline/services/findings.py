"""What the watch found, and telling custodians of it: each thing once, and again after some hours
while it lasts. A finding holds public words only: kinds, ids and states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline import files, night_params, portal_params
from pipeline.catalog import Home
from pipeline.services import notices


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`kind`: chain broken, budget low, backup too old, stuck, and their like; `subject`: the id
    of what it is about, empty where there is but one.
    """

    kind: str
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}" if self.subject else self.kind


def note(home: Home, findings: Iterable[Finding]) -> None:
    """Notes what was found now. What is no longer found is told anew when it comes back."""
    names = [str(one) for one in findings]
    before = files.read_json(home.watch_note, {}).get("told", {})
    files.private_folder(home.watch_note.parent)
    files.write_json(
        home.watch_note,
        {"findings": names, "told": {name: before[name] for name in names if name in before}},
    )


def tell(home: Home) -> list[str]:
    """Tells custodians in one notice of what was found and is not told yet, or long ago; what
    nobody took is tried again the next time. Returns what was told.
    """
    state = files.read_json(home.watch_note, {"findings": [], "told": {}})
    hours = night_params.load_watch(home.params).repeat_hours
    now = datetime.now(UTC)
    new = [name for name in state["findings"] if _is_due(state["told"].get(name), now, hours)]
    if not new:
        return []
    settings = portal_params.load(home.params)
    subject = f"Syndasera: {new[0]}" if len(new) == 1 else f"Syndasera: {len(new)} findings"
    text = "\n".join([*new, "`python -m pipeline doctor` says what to do."])
    if not notices.send(settings, settings.mail_to, subject, text):
        return []
    times = state["told"] | dict.fromkeys(new, now.isoformat(timespec="seconds"))
    files.write_json(home.watch_note, state | {"told": times})
    return new


def _is_due(last: str | None, now: datetime, hours: float) -> bool:
    # a little less: whatever starts the watch is never on the second
    return last is None or now - datetime.fromisoformat(last) > timedelta(hours=hours, minutes=-5)
