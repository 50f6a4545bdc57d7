"use strict";
// Everything shown is put in as text: names of folders come from elsewhere.
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
};
const COLOURS = ["#2f6fd0", "#e0762b", "#2a9d62", "#c8405a", "#8a5fc7", "#8c6a3f", "#d65fb0", "#5f6b7a", "#a3a021", "#1fa5b8"];
const PHASES = ["#2f6fd0", "#8a5fc7", "#2a9d62", "#1fa5b8", "#e0762b", "#a3a021", "#8c6a3f", "#9aa0a8"];
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const WORDS = { eval_return: "evaluation return", q_mean: "mean Q of the critic", critic_loss: "loss of the critic", train_return: "training return", entropy: "entropy", model_nll: "model: held-out NLL" };
const word = (column) => WORDS[column] || column.replace(/^open_loop_rmse_(\d+)$/, "model: error after $1 steps").replaceAll("_", " ");
const short = (x) => {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const a = Math.abs(x);
  if (a >= 1e7 || (a < 1e-3 && a > 0)) return x.toExponential(2);
  return a >= 1000 ? Math.round(x).toLocaleString("en") : a >= 10 ? x.toFixed(1) : x.toFixed(3);
};
let data = JSON.parse($("data").textContent);
const view = { hidden: new Set(), states: new Set(), search: "", sort: { runs: ["name", 1], groups: ["env", 1] }, open: null };
let colour = new Map();

const between = (xs, ys, x) => {
  let i = xs.findIndex((at) => at >= x);
  if (i < 0) return ys[ys.length - 1];
  if (i === 0) return ys[0];
  return ys[i - 1] + ((ys[i] - ys[i - 1]) * (x - xs[i - 1])) / (xs[i] - xs[i - 1] || 1);
};
const shown = (run) => !view.states.has(run.state) && (!view.search || `${run.name} ${run.label || ""} ${run.env || ""}`.toLowerCase().includes(view.search));

/* Charts: lines and bands on a canvas, with a cursor for mouse and arrow keys. */
class Chart {
  constructor(name) {
    this.canvas = make("canvas", { role: "img", tabindex: "0", "aria-label": name });
    this.lines = [];
    this.canvas.addEventListener("mousemove", (event) => this.hover(event.offsetX, event.offsetY, event));
    this.canvas.addEventListener("mouseleave", () => { $("tip").hidden = true; });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => { $("tip").hidden = true; });
  }
  set(lines) {
    this.lines = lines;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { xs, ys, low, high } of lines) {
      for (const x of [xs[0], xs[xs.length - 1]]) if (Number.isFinite(x)) { x0 = Math.min(x0, x); x1 = Math.max(x1, x); }
      for (const all of [ys, low || [], high || []]) for (const y of all) if (Number.isFinite(y)) { if (y < y0) y0 = y; if (y > y1) y1 = y; }
    }
    if (!(x1 > x0)) x1 = x0 + 1;
    if (!(y1 > y0)) { y0 -= 0.5; y1 += 0.5; }
    this.range = [x0, x1, y0 - 0.04 * (y1 - y0), y1 + 0.04 * (y1 - y0)];
    this.draw();
  }
  place() {
    const box = this.canvas.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
    this.canvas.width = box.width * scale; this.canvas.height = box.height * scale;
    const [x0, x1, y0, y1] = this.range, [l, r, t, b] = [52, 8, 6, 22], [w, h] = [box.width, box.height];
    this.x = (x) => l + ((x - x0) / (x1 - x0)) * (w - l - r);
    this.y = (y) => h - b - ((y - y0) / (y1 - y0)) * (h - t - b);
    this.size = [w, h, l, r, t, b];
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    return context;
  }
  draw() {
    if (!this.range) return;
    const c = this.place(), [w, h, l, r, t, b] = this.size, [x0, x1, y0, y1] = this.range;
    const style = getComputedStyle(document.documentElement);
    c.font = "11px system-ui, sans-serif"; c.lineWidth = 1;
    const soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
    for (const y of ticks(y0, y1, 5)) {
      c.strokeStyle = line; c.beginPath(); c.moveTo(l, this.y(y)); c.lineTo(w - r, this.y(y)); c.stroke();
      c.fillStyle = soft; c.textAlign = "right"; c.fillText(label(y), l - 6, this.y(y) + 4);
    }
    c.textAlign = "center";
    for (const x of ticks(x0, x1, w > 500 ? 7 : 4)) c.fillText(label(x), Math.min(Math.max(this.x(x), l + 8), w - r - 12), h - 6);
    for (const { xs, low, high, colour } of this.lines) {
      if (!low) continue;
      c.fillStyle = colour; c.globalAlpha = 0.16; c.beginPath();
      xs.forEach((x, i) => c.lineTo(this.x(x), this.y(high[i])));
      for (let i = xs.length - 1; i >= 0; i--) c.lineTo(this.x(xs[i]), this.y(low[i]));
      c.fill();
    }
    const faint = Math.max(0.1, Math.min(0.35, 9 / this.lines.length));
    for (const { xs, ys, colour, thin, dash } of this.lines) {
      c.strokeStyle = colour; c.globalAlpha = thin ? faint : 1; c.lineWidth = thin ? 1 : 2; c.setLineDash(dash || []);
      c.beginPath();
      let pen = false;
      xs.forEach((x, i) => {
        if (!Number.isFinite(ys[i])) { pen = false; return; }
        if (pen) c.lineTo(this.x(x), this.y(ys[i])); else c.moveTo(this.x(x), this.y(ys[i]));
        pen = true;
      });
      c.stroke();
    }
    c.globalAlpha = 1; c.setLineDash([]);
  }
  hover(px, py, at) {
    let best = null;
    for (const line of this.lines) {
      const { xs, ys } = line;
      for (let i = 0; i < xs.length; i++) {
        const d = Math.hypot(this.x(xs[i]) - px, 1.5 * (this.y(ys[i]) - py)) + (line.thin ? 3 : 0);
        if (best === null || d < best.d) best = { d, line, i };
      }
    }
    if (best === null || best.d > 60) { $("tip").hidden = true; return; }
    this.tell(best.line, best.i, at.clientX, at.clientY);
  }
  key(event) {
    const main = this.lines.filter((line) => !line.thin), all = main.length ? main : this.lines;
    if (!all.length || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    this.at = this.at || [0, all[0].xs.length - 1];
    let [which, i] = this.at;
    which = (which + (event.key === "ArrowDown") - (event.key === "ArrowUp") + all.length) % all.length;
    i = Math.min(Math.max(i + (event.key === "ArrowRight") - (event.key === "ArrowLeft"), 0), all[which].xs.length - 1);
    this.at = [which, i];
    const box = this.canvas.getBoundingClientRect(), line = all[which];
    this.tell(line, i, box.left + this.x(line.xs[i]), box.top + this.y(line.ys[i]));
  }
  tell(line, i, left, top) {
    const tip = $("tip"), band = line.low ? `  [${short(line.low[i])}, ${short(line.high[i])}]` : "";
    tip.textContent = `${line.name}\n${short(line.xs[i])}: ${short(line.ys[i])}${band}`;
    tip.hidden = false;
    tip.style.left = `${Math.min(left + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(top - tip.offsetHeight - 10, 4)}px`;
  }
}
const ticks = (low, high, n) => {
  const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find((s) => s * power >= raw) * power, all = [];
  for (let x = Math.ceil(low / step) * step; x <= high + 1e-9 * step; x += step) all.push(Math.abs(x) < 1e-9 * step ? 0 : x);
  return all;
};
const label = (x) => { const a = Math.abs(x); return a >= 1e6 ? `${+(x / 1e6).toFixed(2)}M` : a >= 1e4 ? `${+(x / 1e3).toFixed(1)}k` : `${+x.toPrecision(4)}`; };

const lineOf = (run, column, across) => {
  const curve = run.curves && run.curves[column];
  if (!curve || !curve[0].length) return null;
  if (across === "steps") return { xs: curve[0], ys: curve[1] };
  return run.hours ? { xs: curve[0].map((x) => between(run.hours[0], run.hours[1], x)), ys: curve[1] } : null;
};
const look = (label) => { const i = colour.get(label) ?? 0; return { colour: COLOURS[i % COLOURS.length], dash: DASHES[Math.floor(i / COLOURS.length) % DASHES.length] }; };

/* One chart an environment; each is drawn in a frame of its own. */
const charts = new Map();
let drawing = 0;
const drawCharts = () => {
  const column = $("column").value, across = $("across").value, seeds = $("seeds").checked, turn = ++drawing;
  const byEnv = new Map();
  for (const run of data.runs) if (run.env && shown(run) && !view.hidden.has(run.label)) (byEnv.get(run.env) || byEnv.set(run.env, []).get(run.env)).push(run);
  for (const [env, chart] of charts) if (!byEnv.has(env)) { chart.card.remove(); charts.delete(env); }
  $("charts").classList.toggle("one", byEnv.size === 1);
  const todo = [...byEnv.keys()].sort();
  const next = () => {
    const env = todo.shift();
    if (turn !== drawing) return;
    if (env === undefined) { document.documentElement.dataset.drawn = String(performance.now()); return; }
    if (!charts.has(env)) {
      const chart = new Chart(`${word(column)} on ${env}`);
      chart.card = make("div", { class: "card" }, make("h3", {}, env), chart.canvas);
      charts.set(env, chart);
      $("charts").append(chart.card);
    }
    const chart = charts.get(env), lines = [];
    chart.canvas.setAttribute("aria-label", `${word(column)} on ${env}; arrow keys read the values`);
    const groups = data.groups.filter((g) => g.env === env && !view.hidden.has(g.label) && g.curve && column === "eval_return" && across === "steps" && byEnv.get(env).some((run) => run.label === g.label));
    const middle = new Set(groups.map((g) => g.label));
    for (const run of byEnv.get(env)) {
      const line = lineOf(run, column, across);
      if (line && (seeds || !middle.has(run.label))) lines.push({ ...line, ...look(run.label), name: `${run.label}, seed ${run.seed}`, thin: middle.has(run.label) });
    }
    for (const g of groups) lines.push({ ...g.curve, ...look(g.label), name: `${g.label}: IQM of ${g.seeds} seeds` });
    chart.set(lines);
    requestAnimationFrame(next);
  };
  next();
};

/* Tables that sort; rows are put in a hundred at a time. */
const table = (id, columns, rows) => {
  const [by, way] = view.sort[id], column = columns.find((c) => c.key === by) || columns[0];
  const rank = (x) => (typeof x === "number" ? (Number.isFinite(x) ? x : -Infinity) : x === null || x === undefined ? "" : String(x));
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const keyed = rows.map((row) => [rank(column.sort ? column.sort(row) : row[column.key]), row]);
  keyed.sort(([a], [b]) => way * (typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b))));
  const head = make("tr", {}, ...columns.map((c) => make("th", { scope: "col", class: c.number ? "n" : null, "aria-sort": c.key === by ? (way > 0 ? "ascending" : "descending") : "none" },
    make("button", { type: "button", on: { click: () => { view.sort[id] = [c.key, c.key === by ? -way : c.number ? -1 : 1]; tables(); } } }, c.name))));
  const body = make("tbody");
  $(id).replaceChildren(make("thead", {}, head), body);
  const turn = {}; $(id).turn = turn;
  const more = (at) => {
    if ($(id).turn !== turn) return;
    body.append(...keyed.slice(at, at + 100).map(([, row]) => make("tr", {}, ...columns.map((c) => {
      const cell = c.show ? c.show(row) : row[c.key];
      return make("td", { class: [c.number ? "n" : "", c.wide ? "wide" : ""].join(" ").trim() || null }, cell instanceof Node ? cell : cell === null || cell === undefined ? "–" : String(cell));
    }))));
    if (at + 100 < keyed.length) requestAnimationFrame(() => more(at + 100));
  };
  more(0);
};
const estimate = (e) => (e ? short(e.value) + (e.interval ? ` [${short(e.interval[0])}, ${short(e.interval[1])}]` : "") : "–");
const tables = () => {
  const runs = data.runs.filter(shown);
  table("runs", [
    { key: "name", name: "run", show: (r) => make("button", { type: "button", on: { click: () => { view.open = r.folder; details(true); } } }, r.name) },
    { key: "state", name: "state", show: (r) => make("span", { class: `state ${r.state}` }, r.state) },
    { key: "label", name: "group" }, { key: "env", name: "environment" },
    { key: "seed", name: "seed", number: true }, { key: "step", name: "step", number: true, show: (r) => (r.step === null || r.step === undefined ? "–" : `${r.step.toLocaleString("en")}${r.steps ? ` of ${r.steps.toLocaleString("en")}` : ""}`) },
    { key: "last", name: "last return", number: true, show: (r) => short(r.last) }, { key: "best", name: "best", number: true, show: (r) => short(r.best) },
    { key: "core_hours", name: "core-hours", number: true, show: (r) => short(r.core_hours) }, { key: "note", name: "note", wide: true, show: (r) => r.note || "" },
  ], runs);
  table("groups", [
    { key: "env", name: "environment" },
    { key: "label", name: "group", show: (g) => make("span", {}, swatch(look(g.label).colour), g.label) },
    { key: "seeds", name: "seeds", number: true }, { key: "steps", name: "at step", number: true, show: (g) => g.steps.toLocaleString("en") },
    ...["iqm", "mean", "area", "per_core_hour"].map((key) => ({ key, name: { iqm: "IQM", mean: "mean", area: "area", per_core_hour: "gain per core-hour" }[key], number: true, sort: (g) => g[key]?.value, show: (g) => estimate(g[key]) })),
  ], data.groups);
  $("count").textContent = `${runs.length} of ${data.runs.length} runs`;
};
const swatch = (background) => make("span", { class: "swatch", style: `background:${background}` });

const legend = () => {
  const labels = [...new Set(data.runs.map((r) => r.label).filter(Boolean))].sort(new Intl.Collator("en", { numeric: true }).compare);
  colour = new Map(labels.map((name, i) => [name, i]));
  $("legend").replaceChildren(...labels.map((name) => make("button", { type: "button", "aria-pressed": String(!view.hidden.has(name)), on: { click: (event) => {
    if (!view.hidden.delete(name)) view.hidden.add(name);
    event.currentTarget.setAttribute("aria-pressed", String(!view.hidden.has(name)));
    drawCharts(); times();
  } } }, swatch(look(name).colour), name)));
  const states = new Map();
  for (const run of data.runs) states.set(run.state, (states.get(run.state) || 0) + 1);
  $("states").replaceChildren(...[...states].sort().map(([state, n]) => make("button", { type: "button", class: state, "aria-pressed": String(!view.states.has(state)), on: { click: (event) => {
    if (!view.states.delete(state)) view.states.add(state);
    event.currentTarget.setAttribute("aria-pressed", String(!view.states.has(state)));
    tables(); drawCharts();
  } } }, `${n} ${state}`)));
  const columns = [...new Set(data.runs.flatMap((r) => Object.keys(r.curves || {})))];
  const now = $("column").value || "eval_return";
  $("column").replaceChildren(...columns.map((c) => make("option", { value: c, selected: c === now }, word(c))));
};

/* Seconds of each phase as a share, a group a line. */
const times = () => {
  const names = data.phases.concat("rest");
  $("phases").replaceChildren(...names.map((name, i) => make("span", {}, swatch(PHASES[i]), name)));
  const groups = new Map();
  for (const run of data.runs) if (run.seconds && !view.hidden.has(run.label)) {
    const key = `${run.label} · ${run.env}`, sum = groups.get(key) || groups.set(key, { all: names.map(() => 0), n: 0 }).get(key);
    run.seconds.forEach((s, i) => { sum.all[i] += s; });
    sum.n += 1;
  }
  $("times").replaceChildren(...[...groups].sort().slice(0, 60).map(([key, { all, n }]) => {
    const total = all.reduce((a, b) => a + b, 0) || 1;
    const words = names.map((name, i) => `${name} ${((100 * all[i]) / total).toFixed(0)} %`).join(", ");
    return make("div", { class: "share" }, make("span", { title: key }, key), make("div", { class: "stack", role: "img", "aria-label": words, title: words },
      ...all.map((s, i) => make("span", { style: `width:${(100 * s) / total}%;background:${PHASES[i]}` }))), make("span", { class: "n" }, `${short(total / n)} s`));
  }));
};

const details = (scroll) => {
  const run = data.runs.find((r) => r.folder === view.open), box = $("details");
  box.hidden = !run;
  if (!run) return;
  const facts = [["folder", run.folder], ["state", run.state + (run.note ? `: ${run.note}` : "")], ["started by", run.command]].concat(Object.entries(run.settings || {}));
  const small = make("div", { class: "small" }), drawn = [];
  for (const column of Object.keys(run.curves || {})) {
    const line = lineOf(run, column, "steps");
    if (!line || line.xs.length < 2) continue;
    const chart = new Chart(`${word(column)} of ${run.name}`);
    small.append(make("div", { class: "card" }, make("h3", {}, word(column)), chart.canvas));
    drawn.push([chart, { ...line, ...look(run.label), dash: [], name: word(column) }]);
  }
  box.replaceChildren(make("div", { class: "card" }, make("h2", {}, run.name),
    make("dl", {}, ...facts.filter(([, value]) => value).flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, String(value))])),
    ...(run.film ? [make("img", { class: "film", src: run.film, alt: `An episode of ${run.name}` })] : [])), small);
  drawn.forEach(([chart, line]) => chart.set([line]));
  if (scroll) box.scrollIntoView({ behavior: "smooth", block: "start" });
};

const all = () => {
  legend(); tables(); times(); drawCharts(); details(false);
  $("thinned").textContent = `Curves are thinned to ${data.thinned} points at most; first, last, lowest and highest are kept.` + (data.groups.some((g) => g.curve?.low) ? " Bands are 95 % stratified bootstrap intervals of the interquartile mean, from five seeds on." : "");
  $("intervals").textContent = data.intervals;
  $("made").textContent = `${data.live ? "Live, " : ""}as of ${new Date(1000 * data.made).toLocaleString()} · hstep ${data.version}`;
};
const theme = (name) => { document.documentElement.dataset.theme = name; drawCharts(); };
document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
$("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
for (const id of ["column", "across", "seeds"]) $(id).addEventListener("change", drawCharts);
let typing = 0;
$("search").addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => { view.search = event.target.value.trim().toLowerCase(); tables(); drawCharts(); }, 120); });
let resizing = 0;
window.addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(() => { for (const chart of charts.values()) chart.draw(); }); });
all();
if (data.live) setInterval(async () => {
  try {
    const answer = await fetch("data.json", { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = await answer.json();
    if (fresh.stamp !== data.stamp) { data = fresh; all(); }
  } catch { $("made").textContent = "The server does not answer: it has ended, or the machine is busy."; }
}, 5000);
