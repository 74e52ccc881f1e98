// The dashboard: a changed filter asks for all figures at once, redraws the plots and swaps the
// sentences and tables beside them. The address always holds the whole view.
import { plots } from "./explore_plots.js";

const WAIT = 400; // ms after the last key before figures are asked for
const WORDS = { r: "reliable", i: "indicative", n: "noise", u: "unmeasured" };
const form = document.getElementById("explore");
const known = JSON.parse(document.getElementById("explore-data").textContent);
const page = form.getAttribute("action");
let asked = null;
let timer = null;

function drawOne(element, plot) {
  element.closest(".ex-card").hidden = !plot;
  if (plot) {
    element.style.height = `${plot.layout.height}px`;
    Plotly.react(element, plot.data, plot.layout, { displayModeBar: false, responsive: true });
  }
}

const elements = () => [...document.querySelectorAll(".ex-plot")];
const plotOf = (all, element) => all[element.id.slice("plot-".length)];

function draw(figures) {
  const all = plots(known, figures);
  elements().forEach((element) => drawOne(element, plotOf(all, element)));
}

// The first time: plots have their room at once, and those in sight are drawn before the others.
async function drawVisibleFirst(figures) {
  const all = plots(known, figures);
  elements().forEach((element) => {
    const plot = plotOf(all, element);
    element.closest(".ex-card").hidden = !plot;
    if (plot) element.style.height = `${plot.layout.height}px`;
  });
  for (const element of elements()) {
    drawOne(element, plotOf(all, element));
    if (element.getBoundingClientRect().top > innerHeight) {
      await new Promise((next) => setTimeout(next));
    }
  }
}

function setCounts(figures) {
  const compare = "b" in figures.cohorts;
  form.dataset.compare = compare ? "1" : "0";
  for (const [name, sides] of Object.entries(figures.columns)) {
    for (const [side, one] of Object.entries(sides)) {
      const options = one.options || one.counts;
      const most = Math.max(1, ...options);
      options.forEach((count, cell) => {
        const key = `${side}.${name}.${cell}`;
        if (marks.count[key]) marks.count[key].textContent = count.toLocaleString("en");
        if (marks.bar[key]) {
          marks.bar[key].style[known.columns[name].range ? "height" : "width"] =
            `${(100 * count) / most}%`;
        }
        if (marks.word[key]) {
          const word = WORDS[one.words[cell]] || "";
          marks.word[key].className = `ex-dot ${word}`;
          marks.word[key].title = word;
        }
      });
    }
  }
}

function byKey(attribute) {
  const found = {};
  document.querySelectorAll(`[data-${attribute}]`).forEach((element) => {
    found[element.dataset[attribute]] = element;
  });
  return found;
}

function setParts(html) {
  const parts = new DOMParser().parseFromString(html, "text/html");
  parts.querySelectorAll("[data-part]").forEach((part) => {
    const there = document.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!there) return;
    const open = [...there.querySelectorAll("details")].map((one) => one.open);
    there.replaceChildren(...part.childNodes);
    there.querySelectorAll("details").forEach((one, place) => {
      one.open = Boolean(open[place]);
    });
  });
}

function query(button = null) {
  const pairs = [...new FormData(form, button)].filter(
    ([name, value]) => !(value === "" && (/\.(from|to)$/.test(name) || !name.includes("."))),
  );
  return new URLSearchParams(pairs).toString();
}

async function refresh() {
  if (asked) asked.abort();
  asked = new AbortController();
  const began = performance.now();
  try {
    const answer = await fetch(`${page}/figures?${query()}`, {
      signal: asked.signal,
      headers: { Accept: "application/json" },
    });
    if (!answer.ok) {
      form.requestSubmit(); // the whole page says what is wrong
      return;
    }
    const { figures, parts } = await answer.json();
    setCounts(figures);
    setParts(parts);
    draw(figures);
    const text = figures.query ? `${page}?${figures.query}` : page;
    history.replaceState(null, "", text);
    performance.measure("explore-redraw", { start: began });
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

function changed(event) {
  if (event.target.name === "with") return; // comes with the whole page
  clearTimeout(timer);
  timer = setTimeout(refresh, event.type === "input" ? WAIT : 0);
}

async function save(button) {
  const element = document.getElementById(`plot-${button.dataset.save}`);
  await Plotly.downloadImage(element, {
    format: button.dataset.form,
    filename: `${known.release}-${button.dataset.save}`,
    width: 1000,
    height: Math.max(500, element.clientHeight),
    scale: button.dataset.form === "png" ? 2 : 1,
  });
}

const marks = { count: byKey("count"), bar: byKey("bar"), word: byKey("word") };
document.documentElement.classList.add("ex-script");
if (matchMedia("(max-width: 60rem)").matches) {
  document.querySelectorAll(".ex-filter").forEach((one) => {
    one.open = one.querySelector("input:checked, .ex-range input[value]:not([value=''])") !== null;
  });
}
form.addEventListener("change", changed);
form.addEventListener("input", (event) => {
  if (event.target.type === "number") changed(event);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`${page}?${query(event.submitter)}`);
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save]");
  if (button) save(button);
});
document.getElementById("ex-others")?.addEventListener("click", (event) => {
  event.preventDefault();
  form.elements.pick.value = (Number(form.elements.pick.value) + 1) % 10000;
  refresh();
});
document.querySelectorAll(".ex-save").forEach((button) => {
  button.hidden = false;
});
await drawVisibleFirst(known.figures);
performance.mark("explore-drawn");
