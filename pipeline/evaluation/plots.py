"""A figure of matplotlib as inline SVG: no script, no font, no file beside it."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.figure import Figure

STRATA = ("#1b6ca8", "#2e8b57", "#c98b1d", "#b23a48", "#6b4c9a", "#5f6b73", "#8c564b", "#17838f")


def svg(figure: Figure) -> str:
    """The figure as an <svg> element, the same bytes for the same figure."""
    with matplotlib.rc_context({"svg.hashsalt": "syndasera", "svg.fonttype": "path"}):
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :]
