// The share of each population's budget that is spent, over time: a step per charge.
const data = JSON.parse(document.getElementById("budgets").textContent);
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const percent = (share) => `${(100 * share).toFixed(1)}%`;

function draw(place, population) {
  const balance = population.balance;
  const last = balance[balance.length - 1];
  const end = data.at > last.at ? data.at : last.at;
  const spent = {
    x: [...balance.map((point) => point.at), end],
    y: [...balance.map((point) => point.share_spent), last.share_spent],
    mode: "lines", name: "share spent", hoverinfo: "skip",
    line: { shape: "hv", width: 2.5, color: colour("--a") },
    fill: "tozeroy", fillcolor: "rgba(20, 80, 92, .08)",
  };
  const charges = {
    x: population.charges.map((charge) => charge.at),
    y: population.charges.map((charge) => charge.share_spent_after),
    text: population.charges.map((charge) => `${charge.release_id}: ${percent(charge.share_spent_after)} after it`),
    mode: "markers", name: "a charge", hovertemplate: "%{text}<extra></extra>",
    marker: { size: 9, color: colour("--a") },
  };
  const level = (y, color, dash) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color, width: 1.5, dash },
  });
  const raises = balance.filter((point) => point.kind === "raised");
  const raised = (point) => ({
    type: "line", x0: point.at, x1: point.at, yref: "paper", y0: 0, y1: 1,
    line: { color: colour("--muted"), width: 1, dash: "dot" },
  });
  const note = (point) => ({
    x: point.at, yref: "paper", y: 1, text: `raised to ${point.epsilon_total}`, textangle: -90,
    showarrow: false, xanchor: "left", yanchor: "top",
  });
  const says = (y, text) => ({
    xref: "paper", x: 1, y, text, showarrow: false, xanchor: "right", yanchor: "bottom",
    font: { size: 12 },
  });
  const narrow = place.clientWidth < 500;
  Plotly.newPlot(place, [spent, charges], {
    margin: { l: narrow ? 45 : 55, r: 12, t: 12, b: 40 },
    font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    showlegend: false,
    xaxis: { type: "date", gridcolor: colour("--line"), nticks: narrow ? 4 : 8 },
    yaxis: { range: [0, 1.12], tickformat: ".0%", gridcolor: colour("--line"), fixedrange: true },
    shapes: [level(1, colour("--bad"), "solid"), level(data.warn_above, colour("--warn"), "dash"),
      ...raises.map(raised)],
    annotations: [says(1, "the budget"), says(data.warn_above, "warning above"), ...raises.map(note)],
  }, { displayModeBar: false, responsive: true });
}

for (const place of document.querySelectorAll(".plot")) {
  draw(place, data.populations[place.dataset.population]);
}
