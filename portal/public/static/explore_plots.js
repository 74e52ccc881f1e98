// Figures to plotly's traces: one look for all plots, cohort A in the accent colour, cohort B in
// orange; groups of survival in a scale that colour-blind readers tell apart.

const SIDES = { a: "#14505c", b: "#c2571a" };
const GROUPS = ["#14505c", "#c2571a", "#2e8b57", "#8a4f9e", "#b8860b", "#4a5568", "#c0392b",
  "#1b9aaa", "#7a5c3e", "#5b7f00", "#d1669a", "#333333"]; // prettier-ignore
const TREATMENTS = ["#3f7f4f", "#7a5195", "#d08a1d", "#2a7f9e", "#b04a5a", "#66717d"];
const INK = "#17252b";
const LINE = "#dfe4e3";
const FONT = { family: 'system-ui, "DejaVu Sans", sans-serif', size: 12, color: INK };
const LONGEST = 26; // letters of a label beside a bar
const MOST_BARS = 16;
const SMALLEST_NODE = 0.03; // of all patients, to be named in the flow
const FEW = 2; // curves
const WIDEST_BAND = 0.9; // mean width of a band that is drawn: a wider one says nothing
const NARROW_BAND = 0.4; // of one among many curves
const HEIGHT = 320; // of the larger plots

function layout(height, more = {}) {
  return {
    height,
    font: FONT,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 12, t: 8, b: 40 },
    hovermode: "closest",
    showlegend: false,
    ...more,
  };
}

// A legend below the plot, and the height that it takes. width: of an entry.
function legend(entries, width, isHalf) {
  const main = document.querySelector(".ex-main").clientWidth;
  const isNarrow = matchMedia("(max-width: 60rem)").matches;
  const columns = isHalf && !isNarrow ? 2 : 1;
  const room = main / columns - (isNarrow ? 110 : 60); // without the labels of an axis
  const rows = Math.ceil(entries / Math.max(1, Math.floor(room / width)));
  return {
    space: rows * (isNarrow ? 17 : 20) + 12,
    place: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left", entrywidth: width - 40, font: { size: isNarrow ? 10.5 : 11.5 } }, // prettier-ignore
  };
}

function axis(more = {}) {
  return { gridcolor: LINE, zeroline: false, fixedrange: true, ...more };
}

function pale(color, part) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${part})`;
}

const shorter = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
const sum = (values) => values.reduce((all, value) => all + value, 0);

function column(known, figures, name) {
  const about = known.columns[name];
  const sides = Object.entries(figures.columns[name]);
  let order = about.order;
  const isThere = (cell) => sides.some(([, one]) => one.counts[cell]);
  if (!about.range && order.some(isThere)) order = order.filter(isThere);
  const isWide = !about.range && (order.length > 5 || order.some((c) => about.labels[c].length > 12));
  const counts = (one) => order.map((cell) => one.counts[cell]);
  if (isWide && order.length > MOST_BARS) order = order.slice(0, MOST_BARS);
  const data = sides.map(([side, one]) => {
    const size = Math.max(1, sum(one.counts));
    const shares = counts(one).map((count) => count / size);
    const labels = order.map((cell) => about.labels[cell]);
    const text = counts(one).map((count, at) => `${labels[at]}<br>${count.toLocaleString("en")}`);
    const ticks = labels.map((label) => (about.range ? label.split("–")[0] : shorter(label)));
    return {
      type: "bar",
      name: `Cohort ${side.toUpperCase()}`,
      orientation: isWide ? "h" : "v",
      x: isWide ? shares : order.map((_, at) => at),
      y: isWide ? order.map((_, at) => at) : shares,
      customdata: text,
      marker: { color: SIDES[side], opacity: 0.9 },
      hovertemplate: `%{customdata} (${isWide ? "%{x:.1%}" : "%{y:.1%}"})<extra>${side.toUpperCase()}</extra>`,
      ticks,
    };
  });
  const ticks = data[0].ticks;
  data.forEach((one) => delete one.ticks);
  const step = isWide ? 1 : Math.ceil(ticks.length / (about.range ? 7 : 9));
  const at = ticks.map((_, place) => place).filter((place) => place % step === 0);
  const names = { tickvals: at, ticktext: at.map((place) => ticks[place]) };
  const { space, place } = legend(2, 100, true);
  const below = sides.length > 1 ? space : 0;
  const both = { bargap: about.range ? 0.06 : 0.25, showlegend: sides.length > 1, legend: place };
  if (isWide) {
    return {
      data,
      layout: layout(Math.max(160, 50 + below + order.length * (sides.length > 1 ? 24 : 19)), {
        ...both,
        xaxis: axis({ tickformat: ".0%" }),
        yaxis: axis({ ...names, autorange: "reversed", automargin: true, showgrid: false }),
        margin: { l: 20, r: 12, t: 8, b: 28 + below },
      }),
    };
  }
  return {
    data,
    layout: layout(240 + below, {
      ...both,
      margin: { l: 48, r: 12, t: 8, b: 28 + below },
      xaxis: axis({ ...names, showgrid: false, tickangle: 0 }),
      yaxis: axis({ tickformat: ".0%" }),
    }),
  };
}

const width = (band) => sum(band.high.map((high, at) => high - band.low[at])) / band.days.length;

function survival(known, figures) {
  const { by, days, curves } = figures.survival;
  const years = days.map((day) => day / 365.25);
  const cells = [...new Set(curves.map((one) => one.cell))];
  const isBoth = Object.keys(figures.cohorts).length > 1;
  const data = [];
  curves.forEach((one) => {
    const color = by ? GROUPS[cells.indexOf(one.cell) % GROUPS.length] : SIDES[one.side];
    const label = by ? known.columns[by]?.labels[one.cell] ?? "" : `Cohort ${one.side.toUpperCase()}`;
    const name = by && isBoth ? `${one.side.toUpperCase()}: ${label}` : label;
    if (one.band && width(one.band) < (curves.length <= FEW ? WIDEST_BAND : NARROW_BAND)) {
      const x = [0, ...one.band.days.map((day) => day / 365.25)];
      data.push({
        x: [...x, ...[...x].reverse()],
        y: [1, ...one.band.high, ...[...one.band.low].reverse(), 1],
        fill: "toself",
        fillcolor: pale(color, curves.length > FEW ? 0.1 : 0.16),
        line: { width: 0 },
        hoverinfo: "skip",
        legendgroup: name,
        showlegend: false,
        mode: "lines",
      });
    }
    data.push({
      x: years,
      y: one.alive,
      name: `${name} (${one.patients.toLocaleString("en")})`,
      legendgroup: name,
      mode: "lines",
      line: { color, width: 2, shape: "hv", dash: by && one.side === "b" ? "dot" : "solid" },
      hovertemplate: `%{y:.1%} after %{x:.1f} years<extra>${name}</extra>`,
    });
  });
  const { space, place } = legend(curves.length, 210, false);
  return {
    data,
    layout: layout(HEIGHT + space, {
      showlegend: true,
      legend: place,
      margin: { l: 48, r: 12, t: 8, b: 30 + space },
      xaxis: axis({ ticksuffix: " y", dtick: years.at(-1) > 3 ? 1 : undefined, rangemode: "tozero" }),
      yaxis: axis({ tickformat: ".0%", range: [0, 1.02] }),
    }),
  };
}

function waits(known, figures) {
  const { days, curves } = figures.waits;
  const isBoth = Object.keys(figures.cohorts).length > 1;
  const { space, place } = legend(curves.length, 190, !isBoth);
  return {
    data: curves.map((one) => {
      const name = (isBoth ? `${one.side.toUpperCase()}: ` : "") + known.treatments[one.kind];
      return {
        x: days,
        y: one.began,
        name,
        mode: "lines",
        line: { color: TREATMENTS[one.kind], width: 2, dash: one.side === "b" ? "dot" : "solid" },
        hovertemplate: `%{y:.1%} by day %{x}<extra>${name}</extra>`,
      };
    }),
    layout: layout(HEIGHT, {
      showlegend: true,
      legend: place,
      margin: { l: 48, r: 12, t: 8, b: 30 + space },
      xaxis: axis({ ticksuffix: " d", dtick: 60 }),
      yaxis: axis({ tickformat: ".0%", rangemode: "tozero" }),
    }),
  };
}

function flow(known, figures, side) {
  const one = figures.flow[side];
  if (!one || !one.paths.length) return null;
  const nodes = [{ label: "All patients", color: SIDES[side] }];
  const places = new Map();
  const links = new Map();
  const node = (step, kind) => {
    const key = `${step}.${kind}`;
    if (!places.has(key)) {
      places.set(key, nodes.length);
      nodes.push({
        step,
        label: kind ? known.treatments[kind - 1] : "None recorded",
        color: kind ? TREATMENTS[kind - 1] : "#b9c0c7",
      });
    }
    return places.get(key);
  };
  const link = (from, to, count) => {
    const key = `${from}.${to}`;
    links.set(key, (links.get(key) || 0) + count);
    nodes[to].size = (nodes[to].size || 0) + count;
  };
  one.paths.forEach(([steps, count]) => {
    let from = 0;
    (steps.length ? steps : [0]).forEach((kind, step) => {
      const to = node(step, kind);
      link(from, to, count);
      from = to;
    });
  });
  const total = sum(one.paths.map((path) => path[1]));
  const pairs = [...links.entries()].map(([key, count]) => [...key.split(".").map(Number), count]);
  return {
    data: [{
      type: "sankey",
      arrangement: "fixed",
      node: {
        label: nodes.map((n) => (n.size < SMALLEST_NODE * total || n.step > 1 ? "" : n.label)),
        color: nodes.map((n) => n.color),
        align: "left",
        pad: 16,
        thickness: 12,
        line: { width: 0 },
        hovertemplate: "%{label}: %{value:,}<extra></extra>",
      },
      link: {
        source: pairs.map((p) => p[0]),
        target: pairs.map((p) => p[1]),
        value: pairs.map((p) => p[2]),
        color: pairs.map((p) => pale(nodes[p[1]].color, 0.28)),
        hovertemplate: "%{source.label} → %{target.label}: %{value:,}<extra></extra>",
      },
    }],
    layout: layout(HEIGHT, { margin: { l: 8, r: 8, t: 8, b: 8 } }),
  };
}

function pathways(known, figures) {
  const lanes = [];
  Object.entries(figures.pathways).forEach(([side, some]) => {
    some.forEach((one) => lanes.push({ side, ...one }));
  });
  if (!lanes.length) return null;
  const kinds = known.events;
  const seen = new Map();
  const lines = { x: [], y: [], mode: "lines", line: { color: "#c7ccd1", width: 2 }, hoverinfo: "skip", showlegend: false }; // prettier-ignore
  lanes.forEach((lane, y) => {
    const days = lane.events.map((event) => event[0]);
    lines.x.push(Math.min(0, ...days), Math.max(0, ...days), null);
    lines.y.push(y, y, null);
    lane.events.forEach(([day, kind, code]) => {
      if (!seen.has(kind)) seen.set(kind, { x: [], y: [], text: [], codes: [] });
      const words = kinds[kind - 1];
      const detail = code ? `, ${words.codes[code - 1]}` : "";
      seen.get(kind).codes.push(code);
      seen.get(kind).x.push(day);
      seen.get(kind).y.push(y);
      seen.get(kind).text.push(`day ${day}: ${words.title}${detail}`);
    });
  });
  const data = [...seen.entries()].sort((one, other) => one[0] - other[0]).map(([kind, { codes, ...points }]) => ({
    ...points,
    name: kinds[kind - 1].title,
    mode: "markers",
    marker: marker(known, kind, codes),
    hovertemplate: "%{text}<extra></extra>",
  }));
  const { space, place } = legend(data.length, 165, false);
  const names = lanes.map((lane) => `${lane.side.toUpperCase()} ${lane.n}`);
  return {
    data: [lines, ...data],
    layout: layout(60 + space + lanes.length * 26, {
      showlegend: true,
      legend: place,
      margin: { l: 20, r: 12, t: 8, b: 30 + space },
      xaxis: axis({ ticksuffix: " d", zeroline: true, zerolinecolor: "#8d99a5" }),
      yaxis: axis({ tickvals: names.map((_, y) => y), ticktext: names, autorange: "reversed", automargin: true, showgrid: false }), // prettier-ignore
    }),
  };
}

function marker(known, kind, codes) {
  const words = known.events[kind - 1];
  const place = known.treatments.indexOf(words.title);
  if (words.awaited) {
    const symbol = codes.map((code) => (words.censored.includes(code) ? "line-ns-open" : "x"));
    return { symbol, size: 11, color: INK, line: { width: 2 } };
  }
  if (words.terminal) return { symbol: "line-ns-open", size: 13, color: "#51636b", line: { width: 2 } };
  if (place >= 0) return { symbol: "circle", size: 11, color: TREATMENTS[place] };
  if (words.inside) return { symbol: "circle-open", size: 6, color: "#8d99a5" };
  const symbols = ["diamond", "square", "triangle-up", "cross", "star", "hexagon"];
  return { symbol: symbols[kind % symbols.length], size: 9, color: "#5a6875" };
}

// By the id of the card that holds each plot; what a release or a view does not have is null.
export function plots(known, figures) {
  const all = {};
  known.plotted.forEach((name, place) => {
    all[`column-${place}`] = column(known, figures, name);
  });
  if (figures.survival) all.survival = survival(known, figures);
  if (figures.flow) {
    all.waits = waits(known, figures);
    all["flow-a"] = flow(known, figures, "a");
    all["flow-b"] = flow(known, figures, "b");
    all.pathways = pathways(known, figures);
  }
  return all;
}
