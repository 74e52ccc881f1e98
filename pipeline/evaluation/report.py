"""The custodian's report: one self-contained HTML page. Restricted, because it shows figures of
real patients.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

BANNER = "Restricted: shows figures of real patients. It does not leave the restricted zone."
STYLE = """
:root { --ink: #1f2a33; --soft: #5c6b77; --line: #d8dee3; --warn: #8a1f2b; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { margin-top: 2.4rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; } .soft { color: var(--soft); }
.banner { background: var(--warn); color: white; padding: .5rem .9rem; border-radius: .3rem; }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
@media (max-width: 50rem) { table { display: block; overflow-x: auto; } }
.plots svg { width: 100%; height: auto; }
"""


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="n">{"–" if math.isnan(value) else f"{value:.3f}"}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def page(title: str, subtitle: str, sections: Mapping[str, str], banner: str = BANNER) -> str:
    """The whole document. `sections`: heading -> HTML; `banner`: why it is restricted."""
    contents = " · ".join(
        f'<a href="#{index}">{html.escape(name)}</a>' for index, name in enumerate(sections)
    )
    body = "".join(
        f'<h2 id="{index}">{html.escape(name)}</h2>{content}'
        for index, (name, content) in enumerate(sections.items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<p class="banner">{html.escape(banner)}</p><h1>{html.escape(title)}</h1>'
        f'<p class="soft">{html.escape(subtitle)}</p><p>{contents}</p>{body}</body></html>'
    )


def plots(pictures: Sequence[str]) -> str:
    return '<div class="plots">' + "".join(f"<figure>{one}</figure>" for one in pictures) + "</div>"
