"""SVG written by hand: small, with text as text, the same bytes for the same input."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.evaluation.page.numbers import number

CHARACTER = 6.5  # width of a letter at the size of a plot's text, in units of the plot


def place(value: float) -> str:
    """A coordinate; one place is a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def tag(name: str, body: str = "", /, **attributes: float | str) -> str:
    """An element. `css` is its class; an underscore in a name stands for a hyphen."""
    fields = "".join(
        f' {("class" if key == "css" else key.replace("_", "-"))}="{_value(value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{fields}>{body}</{name}>" if body else f"<{name}{fields}/>"


def _value(value: float | str) -> str:
    return html.escape(value) if isinstance(value, str) else place(value)


def text(x: float, y: float, words: str, /, *, anchor: str = "", css: str = "") -> str:
    return tag("text", html.escape(words), x=x, y=y, text_anchor=anchor, css=css)


def label(
    x: float, y: float, words: str, width: float, /, *, anchor: str = "", css: str = ""
) -> str:
    """Text that fits into `width`; the whole of it as a tooltip where it had to be cut."""
    brief = shortened(words, width)
    title = "" if brief == words else tag("title", html.escape(words))
    return tag("text", title + html.escape(brief), x=x, y=y, text_anchor=anchor, css=css)


def shortened(words: str, width: float) -> str:
    n = max(4, int(width / CHARACTER))
    return words if len(words) <= n else words[: n - 1].rstrip(" ,(") + "…"


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, css=css)


def rect(x: float, y: float, width: float, height: float, css: str, title: str = "") -> str:
    body = tag("title", html.escape(title)) if title else ""
    return tag("rect", body, x=x, y=y, width=max(0.0, width), height=max(0.0, height), css=css)


def circle(x: float, y: float, css: str, radius: float = 4) -> str:
    return tag("circle", cx=x, cy=y, r=radius, css=css)


def diamond(x: float, y: float, css: str, radius: float = 5) -> str:
    corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
    return path(corners, css, closed=True)


def path(points: Sequence[tuple[float, float]], css: str, *, closed: bool = False) -> str:
    steps = "L".join(f"{place(x)} {place(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", css=css)


def picture(title: str, description: str, width: float, height: float, body: str) -> str:
    """The whole of it. Title and description are what a screen reader says."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {place(width)}'
        f' {place(height)}" style="--w:{place(width)}px"><title>{html.escape(title)}</title>'
        f"<desc>{html.escape(description)}</desc>{body}</svg>"
    )


@dataclass(frozen=True)
class Scale:
    """Values to positions, linear or logarithmic; what lies outside is drawn at the edge."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high, here = (self._form(one) for one in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def _form(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.is_log else value

    def ticks(self, n: int = 5) -> list[float]:
        return log_ticks(self.low, self.high) if self.is_log else ticks(self.low, self.high, n)


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About n round numbers between both."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / n
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * one for one in (1, 2, 5, 10) if size * one >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 and their tens; only the tens where there are many."""
    low = max(low, 1e-12)
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(max(high, low))) + 1)
    steps = (1, 2, 5) if high < 300 * low else (1,)
    return [one * 10.0**ten for ten in tens for one in steps if low <= one * 10.0**ten <= high]


def axis(
    scale: Scale,
    y: float,
    top: float,
    unit: str = "",
    n: int = 5,
    words: Callable[[float], str] = number,
) -> str:
    """A horizontal axis at y, its lines up to `top`. `words`: how a tick is written."""
    parts = [line(scale.start, y, scale.end, y, "axis")]
    for value in scale.ticks(n):
        parts.append(line(scale.at(value), top, scale.at(value), y, "grid"))
        parts.append(text(scale.at(value), y + 14, words(value), anchor="middle", css="tick"))
    if unit:
        parts.append(text((scale.start + scale.end) / 2, y + 29, unit, anchor="middle", css="tick"))
    return "".join(parts)
