"""The flow of patients through their first treatments to their end, as a Sankey diagram."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from pipeline.evaluation.page import parts, svg
from pipeline.evaluation.page.content import ReportContent
from pipeline.evaluation.page.numbers import percent
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog
from pipeline.schema.words import event_title

STEPS = 3  # treatments that are drawn
MOST_KINDS = 6  # of treatments; others are drawn together
MOST_LISTED = 12  # pathways of the table
NONE, NONE_FURTHER, OTHER, NO_END = "None", "No further", "Other", "No end recorded"
WIDTH, HEIGHT, NODE, GAP, TOP = 470.0, 300.0, 10.0, 14.0, 26.0
STEP_NAMES = ("First", "Second", "Third", "End")
SMALLEST_FLOW = 0.002  # of the patients; thinner ribbons are not drawn
Flows = Mapping[tuple[str, ...], float]


def treatments(log: EventLog) -> tuple[str, ...]:
    """The declared treatments, or the types that may be repeated."""
    if log.treatments:
        return log.treatments
    return tuple(
        name for name, kind in log.types.items() if not kind.terminal and kind.at_most != 1
    )


def flows(log: PatientLog, events: EventLog) -> dict[tuple[str, ...], float]:
    """(first, second, third, end) in words -> share of patients."""
    kinds = treatments(events)
    frequent = log.pathways.filter(pl.col("type").is_in(kinds))["type"].value_counts(sort=True)
    names = {
        name: event_title(events, name) if index < MOST_KINDS else OTHER
        for index, name in enumerate(frequent["type"])
    }
    ends = {name: event_title(events, name) for name in events.terminal}
    ordered = log.pathways.sort(ID, "seq")
    steps = ordered.filter(pl.col("type").is_in(kinds)).group_by(ID).agg(pl.col("type").head(STEPS))
    ending = (
        ordered.filter(pl.col("type").is_in(events.terminal))
        .group_by(ID)
        .agg(pl.col("type").last().alias("end"))
    )
    whole = log.patients.select(ID).join(steps, on=ID, how="left").join(ending, on=ID, how="left")
    counts: Counter[tuple[str, ...]] = Counter()
    for types, end in whole.select("type", "end").iter_rows():
        before = [names[one] for one in types or ()]
        rest = [NONE_FURTHER if before else NONE] * (STEPS - len(before))
        counts[(*before, *rest, ends.get(end, NO_END))] += 1
    return {way: n / len(whole) for way, n in sorted(counts.items())}


def figures(content: ReportContent) -> tuple[list[str], str]:
    """Two diagrams, and a table of the most frequent ways."""
    events = content.schema.events
    assert events is not None
    names = (content.real_name, "synthetic")
    both = [flows(log, events) for log in (content.real, content.synthetic)]
    order = _order(both)
    plots = [
        parts.figure(diagram(shares, name, order), f"{name[:1].upper()}{name[1:]} patients")
        for shares, name in zip(both, names, strict=True)
    ]
    return plots, _table(both[0], both[1], names[0])


def _order(both: Sequence[Flows]) -> list[str]:
    """Nodes from top to bottom, the same in both: frequent ones first, those without last."""
    totals: defaultdict[str, float] = defaultdict(float)
    for shares in both:
        for way, share in shares.items():
            for name in way:
                totals[name] += share
    last = (OTHER, NONE, NONE_FURTHER)
    return sorted(totals, key=lambda name: (name in last, -totals[name], name))


def diagram(shares: Flows, name: str, order: Sequence[str]) -> str:
    body: list[str] = []
    boxes = [_boxes(shares, step, order) for step in range(STEPS + 1)]
    for step in range(STEPS):
        body += _ribbons(shares, step, boxes, order)
    for step, nodes in enumerate(boxes):
        x, is_last = _x(step), step == STEPS
        side = "end" if is_last else "start" if step == 0 else ""
        body.append(
            svg.text(x + (NODE if is_last else 0), 14, STEP_NAMES[step], anchor=side, css="tick")
        )
        for node, (top, height) in nodes.items():
            words = f"{node} {percent(height / (HEIGHT - _gaps(nodes)))}"
            body.append(svg.rect(x, top, NODE, height, f"node {_colour(node, order)}", words))
            at, anchor = (x - 5, "end") if is_last else (x + NODE + 5, "")
            if height >= 3:
                body.append(svg.text(at, top + height / 2 + 4, words, anchor=anchor, css="halo"))
    ways = sorted(shares.items(), key=lambda item: -item[1])[:3]
    spoken = "; ".join(f"{_in_words(way)}: {percent(share)}" for way, share in ways)
    return svg.picture(
        f"Flow of {name} patients",
        f"The first {STEPS} and the end. Most frequent: {spoken}.",
        WIDTH,
        HEIGHT + TOP + 8,
        "".join(body),
    )


def _colour(node: str, order: Sequence[str]) -> str:
    return "rest" if node in (NONE, NONE_FURTHER) else f"c{order.index(node) % 8}"


def _x(step: int) -> float:
    return step * (WIDTH - NODE) / STEPS


def _gaps(nodes: Mapping[str, object]) -> float:
    return GAP * max(0, len(nodes) - 1)


def _boxes(shares: Flows, step: int, order: Sequence[str]) -> dict[str, tuple[float, float]]:
    """{node: (top, height)} of one column."""
    totals: defaultdict[str, float] = defaultdict(float)
    for way, share in shares.items():
        totals[way[step]] += share
    nodes = [name for name in order if name in totals]
    room = HEIGHT - _gaps(dict.fromkeys(nodes))
    boxes, top = {}, TOP
    for name in nodes:
        boxes[name] = (top, totals[name] * room)
        top += totals[name] * room + GAP
    return boxes


def _ribbons(
    shares: Flows,
    step: int,
    boxes: Sequence[Mapping[str, tuple[float, float]]],
    order: Sequence[str],
) -> list[str]:
    """From one column to the next, each node's in the order of where they go."""
    links: defaultdict[tuple[str, str], float] = defaultdict(float)
    for way, share in shares.items():
        links[way[step], way[step + 1]] += share
    start, end = ({name: box[0] for name, box in boxes[step + k].items()} for k in (0, 1))
    rooms = [HEIGHT - _gaps(boxes[step + k]) for k in (0, 1)]
    ribbons = []
    for left in boxes[step]:
        for right in boxes[step + 1]:
            share = links[left, right]
            heights = [share * room for room in rooms]
            if share >= SMALLEST_FLOW:
                ends = (start[left], heights[0]), (end[right], heights[1])
                words = f"{left} to {right}: {percent(share)}"
                ribbons.append(_ribbon(step, *ends, f"flow {_colour(left, order)}", words))
            start[left] += heights[0]
            end[right] += heights[1]
    return ribbons


def _ribbon(
    step: int, first: tuple[float, float], second: tuple[float, float], css: str, words: str
) -> str:
    x1, x2 = _x(step) + NODE, _x(step + 1)
    middle = svg.place((x1 + x2) / 2)
    (y1, h1), (y2, h2) = first, second
    a, b, c, d = (svg.place(y) for y in (y1, y2, y2 + h2, y1 + h1))
    left, right = svg.place(x1), svg.place(x2)
    outline = (
        f"M{left} {a}C{middle} {a} {middle} {b} {right} {b}"
        f"L{right} {c}C{middle} {c} {middle} {d} {left} {d}Z"
    )
    return svg.tag("path", svg.tag("title", parts.text(words)), d=outline, css=css)


def _in_words(way: Sequence[str]) -> str:
    """The treatments that were given, and the end."""
    return " → ".join([*(one for one in way[:-1] if one != NONE_FURTHER), way[-1]]).replace(
        " → ".join([NONE] * STEPS), NONE
    )


def _table(real: Flows, synthetic: Flows, real_name: str) -> str:
    ways = sorted(real, key=lambda way: (-real[way], way))[:MOST_LISTED]
    rows = [
        (
            _in_words(way),
            parts.figure_cell(percent(real[way])),
            parts.figure_cell(percent(synthetic.get(way, 0.0))),
        )
        for way in ways
    ]
    return parts.details(
        f"The {len(rows)} most frequent ways as a table",
        parts.table(("way", real_name, "synthetic"), rows),
    )
