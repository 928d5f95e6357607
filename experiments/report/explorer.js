"use strict";
// The figures' zoom and the explorer. All data stand in the page; nothing is fetched.

const byId = (id) => document.getElementById(id);
const AXES = ["surrogate", "regime", "lam0"];
const UNDEFINED = 65535, ZERO = 65534, LEVELS = 4095; // as in explore.py
const LATE = 5; // epochs whose mean is a final value

// --- zoom ---

for (const button of document.querySelectorAll(".zoom")) {
  button.addEventListener("click", () => {
    const { src, alt } = button.querySelector("img");
    Object.assign(byId("large").querySelector("img"), { src, alt });
    const caption = button.parentElement.querySelector("figcaption").cloneNode(true);
    byId("large").querySelector("p").replaceChildren(...caption.childNodes);
    byId("large").showModal();
  });
}
byId("large").addEventListener("click", (event) => {
  if (event.target === byId("large") || event.target.closest("a")) byId("large").close(); // the backdrop, or a link
});
addEventListener("beforeprint", () => document.querySelectorAll("td details").forEach((each) => (each.open = true)));

// --- numbers ---

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return a column [surrogate, regime, lam0, seed, epoch], flat: the inverse of `pack` in explore.py. */
async function decode(grid, name) {
  const { low, high, log, codes } = grid.columns[name];
  const bytes = await inflate(codes);
  const values = new Float64Array(bytes.length / 2);
  const step = (high - low) / LEVELS;
  let code = 0;
  for (let i = 0; i < values.length; i++) {
    const change = bytes[i] + 256 * bytes[values.length + i];
    code = ((i % grid.epoch.length ? code : 0) + change) & 0xffff;
    const level = low + code * step;
    values[i] = code === UNDEFINED ? NaN : code === ZERO ? 0 : log ? Math.exp(level) : level;
  }
  return values;
}

const mean = (numbers) => {
  const known = numbers.filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
};

// Student's t, 97.5%, of 1, 2, ... degrees of freedom; beyond them an approximation good to 0.001
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12,
  2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];

/** Return the mean of each data set's numbers: what repeats independently. */
function units(numbers, sets) {
  const found = new Map();
  numbers.forEach((value, s) => found.set(sets[s], [...(found.get(sets[s]) ?? []), value]));
  return [...found.values()].map(mean);
}

/** Return half the 95% interval of the mean of one number a data set; NaN for fewer than two. */
function half(numbers) {
  const known = numbers.filter((value) => !Number.isNaN(value));
  const n = known.length, centre = mean(known);
  if (n < 2) return NaN;
  const variance = known.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (n - 1);
  return (T[n - 2] ?? 1.96 + 2.46 / (n - 1)) * Math.sqrt(variance / n);
}

/**
 * Return a curve for each chosen surrogate, regime and lam0: its place, the values of its seeds over epochs, their mean
 * and interval, and over base lam what each seed has at the end or at its chosen epoch, with the interval of that.
 */
function curves(grid, values, chosen) {
  const { length: epochs } = grid.epoch, { length: seeds } = grid.seed;
  const found = [];
  for (const surrogate of chosen.surrogate) for (const regime of chosen.regime) for (const lam0 of chosen.lam0) {
    const place = { surrogate, regime, lam0 };
    const cell = AXES.reduce((at, axis) => at * grid[axis].length + grid[axis].indexOf(place[axis]), 0);
    const run = (s) => Array.from(values.subarray((cell * seeds + s) * epochs, (cell * seeds + s + 1) * epochs));
    const alone = grid.seed.map(String).indexOf(chosen.seed); // -1: all seeds are wanted
    const wanted = alone >= 0 ? [alone] : grid.seed.map((_, s) => s);
    const runs = wanted.map(run), sets = wanted.map((s) => grid.data_seed[s]);
    const spread = (numbers) => half(units(numbers, sets));
    const at = (t) => runs.map((values) => values[t]);
    // What is not known in the last epoch, as of a run that diverged, has no end.
    const end = (values) => (Number.isNaN(values.at(-1)) ? NaN : mean(values.slice(-LATE)));
    const stop = (values, i) => values[grid.chosen[cell * seeds + wanted[i]]] ?? NaN;
    const ends = runs.map(chosen.over === "chosen" ? stop : end);
    const over = (statistic) => grid.epoch.map((_, t) => statistic(at(t)));
    found.push({ place, runs, ends, bar: spread(ends), mean: over(mean), half: over(spread) });
  }
  return found;
}

// --- looks: the axis with most choices takes the colour, the next the dash, the last the marker ---

const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const narrow = matchMedia("(max-width: 48rem)"); // the legend goes below
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "12px,3px,3px,3px,3px,3px"];
const MARKERS = ["circle", "square", "triangle-up", "x", "diamond", "cross", "star", "pentagon", "triangle-down"];
const CATEGORIES = {
  light: ["#0072B2", "#D55E00", "#009E73", "#5B1A5E", "#D04BE0", "#7F4E03"],
  dark: ["#3F86E6", "#F0913A", "#4EC4B0", "#F7D9EA", "#D6456E", "#A6F07A"],
};
const GOLDEN_ANGLE = 137.508; // degrees
const FEW = 3; // more values of lam than this are a scale from light to dark
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137],
  [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];

/** Return a colour along viridis as in the figures, from light to dark, less the end that the ground hides. */
function sequential(i, n) {
  const [from, to] = dark.matches ? [1, 0.3] : [0.9, 0];
  const at = (from + (to - from) * (n > 1 ? i / (n - 1) : 0.5)) * (VIRIDIS.length - 1);
  const k = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return `rgb(${VIRIDIS[k].map((c, j) => Math.round(c + (VIRIDIS[k + 1][j] - c) * (at - k))).join(",")})`;
}

/** Return the colour of a surrogate or a regime: of the palette, and beyond its end hues as far apart as they can be. */
function categorical(i) {
  const palette = CATEGORIES[dark.matches ? "dark" : "light"];
  return palette[i] ?? `hsl(${Math.round(GOLDEN_ANGLE * i) % 360}, 60%, ${dark.matches ? 70 : 35}%)`;
}

function looks(chosen) {
  const [first, second, third] = [...AXES].reverse().sort((a, b) => chosen[b].length - chosen[a].length);
  const n = chosen[first].length;
  const ordered = first === "lam0" && n > FEW;
  return (place) => {
    const at = (axis) => chosen[axis].indexOf(place[axis]);
    const inOrder = ordered ? sequential(at(first), n) : categorical(at(first));
    const color = place[first] === 0 ? css("--text") : inOrder; // lam 0 is apart, as in the figures
    // Neighbours in a scale of colours are dashed in turn, where no other axis takes the dash.
    const dash = ordered && chosen[second].length === 1 ? at(first) % 2 : at(second);
    const look = { mode: "lines", line: { color, width: 2, dash: DASHES[dash % DASHES.length] } };
    if (chosen[third].length > 1) {
      look.mode = "lines+markers";
      look.marker = { color, symbol: MARKERS[at(third) % MARKERS.length], size: 7, maxdisplayed: 8 };
    }
    return look;
  };
}

/** Return the outline of a band around a curve, from left to right and back; no wider than what is known. */
function band(x, y, half) {
  const known = x.map((_, i) => i).filter((i) => !Number.isNaN(half[i]));
  const back = [...known].reverse();
  return {
    x: [...known, ...back].map((i) => x[i]),
    y: [...known.map((i) => y[i] + half[i]), ...back.map((i) => y[i] - half[i])],
  };
}

/** Return places along an axis for values of lam: their logarithms, and for 0 one below the least of the others. */
function places(lams) {
  const logs = lams.filter((lam) => lam > 0).map(Math.log10);
  const least = logs.length ? Math.min(...logs) : 0;
  return lams.map((lam) => (lam > 0 ? Math.log10(lam) : least - 0.5));
}

const label = (place) => `${place.surrogate} / ${place.regime}, lam ${place.lam0}`;

/** Return a text as Plotly has it, which reads some tags of HTML in the names of curves. */
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

// --- the explorer ---

const OVER = { epoch: "epochs", lam: "base lam", chosen: "base lam, at the chosen epoch" };
const BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]; // none that sends anything anywhere

async function explore() {
  const tasks = JSON.parse(byId("runs").textContent);
  const form = byId("choice"), plot = byId("plot");
  const units = JSON.parse(form.dataset.units);
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await inflate(byId("plotly").textContent));
  document.head.append(script);

  const options = (select, texts, values = texts) =>
    select.replaceChildren(...texts.map((text, i) => new Option(text, values[i])));
  const grid = () => tasks[form.task.value];

  /** Offer what the chosen task has; keep of the choice before what it has, too. */
  function offer(wanted) {
    const seeds = grid().seed.map(String);
    const texts = ["mean, 95% interval", "all, and their mean", ...seeds.map((seed) => `seed ${seed}`)];
    options(form.seed, texts, ["mean", "all", ...seeds]);
    form.seed.value = wanted.get("seed");
    if (!form.seed.value) form.seed.value = "mean";
    for (const axis of AXES) {
      const chosen = wanted.getAll(axis);
      const known = grid()[axis].map(String).filter((value) => chosen.includes(value));
      form.querySelector(`[data-axis=${axis}]`).replaceChildren(...grid()[axis].map((value) => {
        const box = Object.assign(document.createElement("input"), { type: "checkbox", name: axis, value });
        box.checked = known.length ? known.includes(String(value)) : true;
        const line = document.createElement("label");
        line.append(box, ` ${value}`);
        return line;
      }));
    }
  }

  function choice() {
    const chosen = { task: form.task.value, column: form.column.value, over: form.over.value, log: form.log.checked };
    chosen.seed = form.seed.value;
    for (const axis of AXES) {
      const checked = [...form.querySelectorAll(`[name=${axis}]:checked`)].map((box) => box.value);
      chosen[axis] = grid()[axis].filter((value) => checked.includes(String(value)));
    }
    return chosen;
  }

  const address = (chosen) =>
    new URLSearchParams(Object.entries(chosen).flatMap(([key, value]) => [value].flat().map((one) => [key, one])));

  /** Return a curve for each surrogate, regime and base lam over epochs, with the seeds or the interval behind it. */
  function overEpochs(found, chosen, look) {
    const x = grid().epoch;
    return found.flatMap(({ place, runs, mean, half }) => {
      const style = look(place), name = plain(label(place)), legendgroup = name;
      const behind = { name, legendgroup, mode: "lines", showlegend: false, hoverinfo: "skip" };
      const thin = { ...behind, opacity: 0.6, line: { ...style.line, width: 0.7 } };
      const filled = { ...behind, opacity: 0.18, line: { width: 0 }, fill: "toself", fillcolor: style.line.color };
      const seeds = chosen.seed === "all" ? runs.map((y) => ({ x, y, ...thin })) : [];
      const varies = chosen.seed === "mean" && half.some((value) => value > 0);
      const interval = varies ? [{ ...band(x, mean, half), ...filled }] : [];
      const known = (i) => i in mean && !Number.isNaN(mean[i]);
      if (mean.some((_, i) => known(i) && !known(i - 1) && !known(i + 1))) style.mode = "lines+markers"; // else unseen
      return [...interval, ...seeds, { x, y: mean, name, legendgroup, showlegend: true, ...style }];
    });
  }

  /** Return a curve for each surrogate and regime: what is at the end or at the chosen epoch, over base lam. */
  function overLam(found, chosen, look) {
    const lam0 = chosen.lam0.at(-1); // whose look a curve takes; one of a lam above 0, as 0 is black
    return found.filter(({ place }) => place.lam0 === lam0).flatMap(({ place }) => {
      const own = found.filter((one) => one.place.surrogate === place.surrogate && one.place.regime === place.regime);
      const style = look(place), name = plain(`${place.surrogate} / ${place.regime}`), legendgroup = name;
      // No line leads from lam = 0 to the next: on a logarithmic axis there is no distance between them.
      const lams = own.map((one) => one.place.lam0), { color } = style.line;
      const broken = (values) => (lams[0] === 0 ? [values[0], null, ...values.slice(1)] : values);
      const x = broken(places(lams)), text = broken(lams.map(String));
      const shown = { x, text, hovertemplate: "lam %{text}: %{y}" };
      const array = chosen.seed === "mean" ? broken(own.map(({ bar }) => bar)) : [];
      const dot = { x, mode: "markers", marker: { color, size: 4 }, opacity: 0.6, showlegend: false, hoverinfo: "skip" };
      const seeds = chosen.seed === "all"
        ? grid().seed.map((_, s) => ({ y: broken(own.map(({ ends }) => ends[s])), name, legendgroup, ...dot }))
        : [];
      const bars = { error_y: { type: "data", array, color, thickness: 1.2, width: 4 } };
      const y = broken(own.map(({ ends }) => mean(ends)));
      return [...seeds, { ...shown, y, name, legendgroup, showlegend: true, ...style, mode: "lines+markers", ...bars }];
    });
  }

  let turns = 0;
  async function draw() {
    const turn = ++turns;
    const chosen = choice();
    const values = await decode(grid(), chosen.column);
    if (turn < turns) return; // a later choice is being drawn
    const found = curves(grid(), values, chosen);
    const byEpoch = chosen.over === "epoch";
    const look = looks(byEpoch ? chosen : { ...chosen, lam0: chosen.lam0.slice(-1) });
    const traces = byEpoch ? overEpochs(found, chosen, look) : overLam(found, chosen, look);
    const [text, quiet, line] = ["--text", "--quiet", "--line"].map(css);
    const drawn = traces.filter((trace) => trace.showlegend).length;
    const legend = !narrow.matches || drawn <= 16; // more would fill a small screen
    const unit = units[chosen.column] ? ` (${units[chosen.column]})` : "";
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
    const layout = {
      font: { family: "system-ui, sans-serif", color: text },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 10, r: 10, t: 40, b: 10 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: quiet, activecolor: text },
      height: narrow.matches && legend ? 400 + 28 * drawn : 520,
      xaxis: byEpoch
        ? { ...axis, title: { text: "epoch" } }
        : { ...axis, title: { text: "base lam" }, tickvals: places(chosen.lam0), ticktext: chosen.lam0.map(String) },
      yaxis: {
        ...axis, title: { text: chosen.column + unit }, type: chosen.log ? "log" : "linear", exponentformat: "power",
      },
      legend: narrow.matches ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom" } : { x: 1.01, y: 1 },
      showlegend: legend,
    };
    await Plotly.react(plot, traces, layout, { responsive: true, displaylogo: false, modeBarButtons: BUTTONS });
    const all = { mean: "the mean with its 95% interval over data sets", all: "all seeds and their mean" };
    const of = all[chosen.seed] ?? `seed ${chosen.seed}`, x = OVER[chosen.over];
    byId("status").textContent = `${drawn} curves of ${chosen.column} over ${x}, ${of}; task ${chosen.task}.`;
    plot.setAttribute("aria-label", byId("status").textContent);
    tabulate(found, chosen);
    history.replaceState(null, "", `#explorer?${address(chosen)}`);
  }

  function tabulate(found, chosen) {
    const table = document.createElement("table");
    const last = chosen.over === "chosen" ? "at the chosen epoch" : `at the end (mean of the last ${LATE} epochs)`;
    const when = `before training, at its least and greatest, and ${last}`;
    table.createCaption().textContent = `${chosen.column}: ${when}`;
    const row = (cells, section, scopes) => {
      const line = section.insertRow();
      cells.forEach((cell, i) => {
        const box = document.createElement(scopes[i] ? "th" : "td");
        if (scopes[i]) box.scope = scopes[i];
        box.textContent = typeof cell === "number" ? (Number.isNaN(cell) ? "–" : cell.toPrecision(4)) : cell;
        line.append(box);
      });
    };
    row(["curve", "epoch 0", "least", "greatest", chosen.over === "chosen" ? "chosen" : "end"], table.createTHead(), Array(5).fill("col"));
    const body = table.createTBody();
    for (const { place, mean: y, ends: lasts } of found) {
      const known = y.filter((value) => !Number.isNaN(value));
      const ends = known.length ? [Math.min(...known), Math.max(...known)] : [NaN, NaN];
      row([label(place), y[0], ...ends, mean(lasts)], body, ["row"]);
    }
    const box = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
    box.append(table);
    byId("numbers").lastElementChild.replaceChildren(box);
  }

  const linked = location.hash.startsWith("#explorer?");
  const asked = new URLSearchParams(linked ? location.hash.slice(10) : "surrogate=logdet&regime=fixed&column=force");
  options(form.task, Object.keys(tasks));
  if (asked.get("task") in tasks) form.task.value = asked.get("task");
  form.task.parentElement.hidden = Object.keys(tasks).length < 2;
  const there = (columns) => columns.filter((name) => name in grid().columns);
  form.column.replaceChildren(...Object.entries(JSON.parse(form.dataset.groups)).flatMap(([label, columns]) => {
    const group = Object.assign(document.createElement("optgroup"), { label });
    group.append(...there(columns).map((name) => new Option(name)));
    return group.childElementCount ? [group] : [];
  }));
  form.column.value = asked.get("column");
  if (!form.column.value) form.column.value = "force";
  form.over.value = asked.get("over") in OVER ? asked.get("over") : "epoch";
  form.log.checked = asked.get("log") === "true";
  offer(asked);
  form.hidden = false;
  form.addEventListener("change", (event) => {
    if (event.target === form.task) offer(address(choice()));
    draw();
  });
  for (const query of [dark, narrow]) query.addEventListener("change", draw);
  if (linked) byId("explorer").scrollIntoView();
  await draw();
}

if (byId("runs")) {
  if ("DecompressionStream" in window) explore();
  else byId("status").textContent = "This browser is too old for the explorer: it needs DecompressionStream.";
}
