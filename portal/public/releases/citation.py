"""How to cite a release: as a sentence, for BibTeX, and as a file CITATION.cff
(citation-file-format.github.io, version 1.2.0).
"""

from __future__ import annotations

import io
import re
from datetime import date

from ruamel.yaml import YAML

from portal.public.releases.published import Published

AUTHOR = "Syndasera"
SPECIAL = re.compile(r"[{}$&#_%]")  # what BibTeX reads as a command


def sentence(one: Published, today: date) -> str:
    """For a list of references."""
    return (
        f"{AUTHOR}. {title(one)} [synthetic data]. {_about(one)} Accessed on"
        f" {today:%-d %B %Y}. Source: {_end(one.card['citation'])}"
    )


def bibtex(one: Published, today: date) -> str:
    """An entry for BibTeX."""
    fields = {
        "author": AUTHOR,
        "title": title(one),
        "note": f"{_about(one)} Source: {_end(one.card['citation'])}",
        "version": one.id,
        "urldate": today.isoformat(),
    }
    lines = [f"  {name} = {{{{{_plain(text)}}}}}" for name, text in fields.items()]
    return f"@misc{{syndasera-{one.id},\n" + ",\n".join(lines) + "\n}\n"


def cff(one: Published) -> str:
    """The text of CITATION.cff."""
    document = {
        "cff-version": "1.2.0",
        "type": "dataset",
        "message": "If you use this synthetic extract, cite it and its source.",
        "title": title(one),
        "version": one.id,
        "authors": [{"name": AUTHOR}],
        "abstract": _about(one),
        "references": [
            {
                "type": "data",
                "title": one.card["citation"] or one.card["source"],
                "authors": [{"name": one.card["source"]}],
                "notes": one.card["source"],
            }
        ],
    }
    writer, out = YAML(), io.StringIO()
    writer.width = 100
    writer.dump(document, out)
    return out.getvalue()


def title(one: Published) -> str:
    return f"{one.card['title']}: synthetic extract {one.id}"


def _about(one: Published) -> str:
    privacy = one.card["privacy"]
    return (
        f"{one.card['synthetic_patients']:,} synthetic patients under differential privacy"
        f" (epsilon {privacy['epsilon']:.3g}, delta {privacy['delta']:.0e}); no row is a real"
        " patient."
    )


def _end(text: str | None) -> str:
    return f"{(text or 'not declared').rstrip('.')}."


def _plain(text: str) -> str:
    """Without what BibTeX would take for a command."""
    for letter, instead in (("\\", "/"), ("^", " "), ("~", " ")):
        text = text.replace(letter, instead)
    return SPECIAL.sub(r"\\\g<0>", text)
