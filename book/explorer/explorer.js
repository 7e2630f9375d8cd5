// The explorer's script: draws the runs of the chosen study, and keeps the choice in the address.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const root = document.getElementById("explorer-whole");
  const form = root.querySelector("form");
  const plot = document.getElementById("explorer-plot");
  const details = document.getElementById("explorer-details");
  const methodsBox = document.getElementById("explorer-methods");
  const FRAME = { left: 66, right: 704, top: 14, bottom: 408 };
  const ALL = "all";

  // A marker's outline around (0, 0), by matplotlib's letter: one shape a method, as in the figures.
  const polygon = (corners, turn = 0, inner = 1) => {
    const points = [];
    for (let i = 0; i < corners; i++) {
      const radius = i % 2 ? 6 * inner : 6;
      const angle = (Math.PI * 2 * i) / corners - Math.PI / 2 + turn;
      points.push(`${(radius * Math.cos(angle)).toFixed(2)},${(radius * Math.sin(angle)).toFixed(2)}`);
    }
    return `M${points.join("L")}Z`;
  };
  const CROSS = "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z";
  const SHAPES = {
    o: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "*": polygon(10, 0, 0.42),
    "^": polygon(3),
    v: polygon(3, Math.PI),
    "<": polygon(3, -Math.PI / 2),
    ">": polygon(3, Math.PI / 2),
    D: polygon(4),
    d: "M0-6L3.6,0L0,6L-3.6,0Z",
    s: polygon(4, Math.PI / 4),
    p: polygon(5),
    h: polygon(6),
    H: polygon(6, Math.PI / 6),
    8: polygon(8, Math.PI / 8),
    P: CROSS,
    X: CROSS,
  };

  const turn = (marker) => (marker === "X" ? "rotate(45)" : "");

  // -- elements and numbers --------------------------------------------------------------------

  const svg = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const html = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const number = (value) =>
    value === null ? "–" : String(Number(value.toPrecision(3))).replace("-", "−");
  const withError = ([value, error]) =>
    number(value) + (error === null ? "" : ` ± ${Number(error.toPrecision(2))}`);
  const named = (run) => run.method + (run.also ? `, ${run.also}` : "");
  const words = (run) =>
    run.method === "untouched"
      ? "untouched"
      : `${named(run)}, rate ${run.rate}` +
        (run.epochs ? `, ${run.epochs} epoch${run.epochs === 1 ? "" : "s"}` : "") +
        `, seed ${run.seed}`;

  // -- the choice, as the form and the address have it -----------------------------------------

  const study = () => data.studies.find((one) => one.name === form.study.value);
  const options = (select, values, chosen, label = (value) => value) => {
    select.replaceChildren(...values.map((value) => new Option(label(value), value)));
    select.value = values.map(String).includes(chosen) ? chosen : String(values[0]);
  };

  function readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const names = data.studies.map((one) => one.name);
    const title = (name) => {
      const one = data.studies.find((other) => other.name === name);
      return `${one.chapter}: ${one.title}`;
    };
    options(form.study, names, asked.get("study"), title);
    const { measures, axes, runs, methods } = study();
    options(form.x, measures, asked.get("x") ?? axes[0]);
    options(form.y, measures, asked.get("y") ?? axes[1]);
    const trained = runs.filter((run) => run.method !== "untouched");
    const distinct = (name) => [...new Set(trained.map((run) => run[name]))].sort((a, b) => a - b);
    options(form.rate, [ALL, ...distinct("rate")], asked.get("rate"));
    const epochs = distinct("epochs").filter((value) => value !== null);
    options(form.epochs, [ALL, ...epochs], asked.get("epochs"));
    form.epochs.parentElement.hidden = epochs.length === 0;
    form.absolute.checked = asked.has("absolute");
    form.seeds.checked = asked.has("seeds");
    const without = (asked.get("without") ?? "").split("~");
    methodsBox.replaceChildren(
      ...Object.keys(methods).map((method) => {
        const box = html("input", { type: "checkbox", value: method, checked: !without.includes(method) });
        const [colour, marker] = methods[method];
        const key = svg("svg", { viewBox: "-8 -8 16 16", width: 16, height: 16, "aria-hidden": "true" });
        key.append(svg("path", { d: SHAPES[marker] ?? SHAPES.o, transform: turn(marker), fill: colour }));
        return html("label", {}, box, key, ` ${method}`);
      }),
    );
  }

  function address() {
    const told = new URLSearchParams({ study: form.study.value, x: form.x.value, y: form.y.value });
    for (const name of ["rate", "epochs"]) if (form[name].value !== ALL) told.set(name, form[name].value);
    for (const name of ["absolute", "seeds"]) if (form[name].checked) told.set(name, "1");
    const without = [...methodsBox.querySelectorAll("input:not(:checked)")].map((box) => box.value);
    if (without.length) told.set("without", without.join("~"));
    return `#${told}`;
  }

  function shown() {
    const { measures, runs } = study();
    const [x, y] = [measures.indexOf(form.x.value), measures.indexOf(form.y.value)];
    const chosen = new Set([...methodsBox.querySelectorAll("input:checked")].map((box) => box.value));
    const part = (value) => value && (form.absolute.checked ? value.slice(0, 2) : value.slice(2));
    const fits = (run, name) => form[name].value === ALL || String(run[name]) === form[name].value;
    return runs
      .filter((run) => chosen.has(run.method))
      .filter((run) => run.method === "untouched" || (fits(run, "rate") && fits(run, "epochs")))
      .map((run) => ({ run, x: part(run.values[x]), y: part(run.values[y]) }))
      .filter((point) => point.x && point.y && point.x[0] !== null && point.y[0] !== null);
  }

  // -- drawing ---------------------------------------------------------------------------------

  // A scale from the values' span, with its errors, to pixels; its ticks are 1, 2 or 5 times 10^n.
  function scale(pairs, from, to) {
    const ends = pairs.flatMap(([value, error]) => [value - 1.96 * (error ?? 0), value + 1.96 * (error ?? 0)]);
    let [low, high] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
    const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
    [low, high] = [low - margin, high + margin];
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const ticks = [];
    for (let tick = Math.ceil(low / step); tick * step <= high; tick++) ticks.push(tick * step);
    const at = (value) => from + ((value - low) / (high - low)) * (to - from);
    return Object.assign(at, { ticks });
  }

  function drawAxes(x, y) {
    const { left, right, top, bottom } = FRAME;
    const change = form.absolute.checked ? "" : ", change from untouched";
    const line = (x1, x2, y1, y2, value) =>
      svg("line", { x1, x2, y1, y2, class: Math.abs(value) < 1e-12 && change ? "zero" : "grid" });
    plot.replaceChildren(svg("rect", { width: 720, height: 460, class: "sheet" }));
    for (const tick of x.ticks) {
      plot.append(line(x(tick), x(tick), top, bottom, tick));
      plot.append(svg("text", { x: x(tick), y: bottom + 17, "text-anchor": "middle" }, number(tick)));
    }
    for (const tick of y.ticks) {
      plot.append(line(left, right, y(tick), y(tick), tick));
      plot.append(svg("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, number(tick)));
    }
    const middle = (top + bottom) / 2;
    plot.append(svg("text", { x: (left + right) / 2, y: 448, "text-anchor": "middle" }, form.x.value + change));
    const turned = { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` };
    plot.append(svg("text", turned, form.y.value + change));
  }

  function drawPoint({ run, x: xs, y: ys }, x, y) {
    const [px, py] = [x(xs[0]), y(ys[0])];
    const [colour, marker] = study().methods[run.method];
    const link = svg("a", { href: recordAddress(run), tabindex: "-1", "data-key": run.key });
    link.setAttribute("aria-label", told({ run, x: xs, y: ys }));
    const bars = [];
    if (xs[1]) bars.push(`M${x(xs[0] - 1.96 * xs[1])},${py}H${x(xs[0] + 1.96 * xs[1])}`);
    if (ys[1]) bars.push(`M${px},${y(ys[0] - 1.96 * ys[1])}V${y(ys[0] + 1.96 * ys[1])}`);
    link.append(svg("path", { d: bars.join(""), class: "bar", stroke: colour }));
    const size = run.method === "untouched" ? "scale(1.6)" : "";
    const at = `translate(${px} ${py}) ${turn(marker)} ${size}`;
    link.append(svg("path", { d: SHAPES[marker] ?? SHAPES.o, transform: at, fill: colour, class: "mark" }));
    const label = run.method === "untouched" ? "untouched" : form.seeds.checked ? run.seed : null;
    const beyond = px > FRAME.right - 70;  // a label to the right would leave the sheet
    const place = { x: px + (beyond ? -8 : 8), y: py - 6, "text-anchor": beyond ? "end" : "start" };
    if (label !== null) link.append(svg("text", place, label));
    const tell = () => show(run.key, link.getAttribute("aria-label"));
    link.addEventListener("mouseenter", tell);
    link.addEventListener("focus", tell);
    return link;
  }

  const recordPath = (run) => `results/records/${run.key}.json`;
  const recordAddress = (run) => `${data.repository}/${recordPath(run)}`;
  const told = ({ run, x, y }) =>
    `${words(run)}: ${form.x.value} ${withError(x)}, ${form.y.value} ${withError(y)}`;

  function show(key, text) {
    details.textContent = text;
    for (const one of root.querySelectorAll("[data-key]"))
      one.classList.toggle("chosen", one.dataset.key === key);
  }

  function drawTable(points) {
    const table = document.getElementById("explorer-table");
    const change = form.absolute.checked ? "" : "Changes from the untouched model. ";
    table.caption.textContent = `${points.length} runs. ${change}± one standard error over items.`;
    table.tHead.rows[0].cells[4].textContent = form.x.value;
    table.tHead.rows[0].cells[5].textContent = form.y.value;
    table.tBodies[0].replaceChildren(
      ...points.map(({ run, x, y }) => {
        const link = html("a", { href: recordAddress(run), textContent: recordPath(run) });
        const cells = [run.rate || "–", run.epochs ?? "–", run.seed, withError(x), withError(y), link];
        const row = html("tr", {}, html("th", { scope: "row" }, named(run)));
        row.append(...cells.map((cell) => html("td", {}, cell)));
        row.dataset.key = run.key;
        return row;
      }),
    );
  }

  function draw() {
    const points = shown();
    const x = scale(points.map((point) => point.x), FRAME.left, FRAME.right);
    const y = scale(points.map((point) => point.y), FRAME.bottom, FRAME.top);
    drawAxes(x, y);
    plot.append(...points.map((point) => drawPoint(point, x, y)));
    plot.querySelector("a")?.setAttribute("tabindex", "0");
    details.textContent = points.length ? "Point at a run to read its numbers." : "No run fits this choice.";
    drawTable(points);
    document.getElementById("explorer-link").href = address();
  }

  // -- what a visitor does ---------------------------------------------------------------------

  // One stop of the Tab key for all points; the arrow keys walk through them.
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const points = [...plot.querySelectorAll("a")];
    const here = points.indexOf(document.activeElement);
    if (!step || here < 0) return;
    event.preventDefault();
    const next = points[(here + step + points.length) % points.length];
    document.activeElement.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    const other = event.target === form.study;  // another study has measures and methods of its own
    history.replaceState(null, "", other ? `#study=${form.study.value}` : address());
    if (other) readAddress();
    draw();
  });
  window.addEventListener("hashchange", () => {
    readAddress();
    draw();
  });

  if (data.studies.length) {
    root.hidden = false;
    readAddress();
    draw();
  }
})();
