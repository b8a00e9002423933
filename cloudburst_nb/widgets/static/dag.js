// The DAG editor in a page: shows what Python publishes, sends what the user wants done.
//
// Law: Python owns the DAG. This file writes no trait; it sends {op, id, rev, …} and draws the state that comes back.
// Its own are only the selection, the part of the picture that is seen, and what is being dragged at the moment.
//
// Reading order: pure functions (tested without a page), `Session` (the talk with Python), `View` (the page).

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 24;
const ZOOM_MIN = 0.002; // a chain of a thousand nodes
const ZOOM_MAX = 2.5;
const READABLE = 0.4;
const CLICK_PIXELS = 4;
const NUDGE = 8;
const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);
const SYMBOLS = {
  waiting: "○", running: "◐", done: "✓", failed: "✗", cancelled: "⊘", pinned: "⚲",
};

// ---------------------------------------------------------------- pure: geometry

/** The height of a node's input port, counted from the node's middle. */
export function portOffset(node, port) {
  const ports = Math.max(1, node.ports);
  const step = Math.min(13, (node.h - 8) / ports);
  return (port - (ports - 1) / 2) * step;
}

/** Where an arrow begins. */
export function outPoint(node) {
  return [node.x + node.w / 2, node.y];
}

/** Where an arrow ends. */
export function inPoint(node, port) {
  return [node.x - node.w / 2, node.y + portOffset(node, port)];
}

/** The path of an arrow between two points; one that goes back runs around. */
export function curve([x, y], [toX, toY]) {
  const reach = Math.max(28, Math.min(160, Math.abs(toX - x) / 2), toX < x ? 90 : 0);
  return `M${round(x)},${round(y)}C${round(x + reach)},${round(y)} ${round(toX - reach)},${round(toY)} ${round(toX)},${round(toY)}`;
}

/** The path of an arrow through points between its ends. */
export function through(points) {
  if (points.length === 2) return curve(...points);
  return points.slice(1).reduce((path, [toX, toY], at) => {
    const [x, y] = points[at];
    const half = round((x + toX) / 2);
    return `${path}C${half},${round(y)} ${half},${round(toY)} ${round(toX)},${round(toY)}`;
  }, `M${round(points[0][0])},${round(points[0][1])}`);
}

/** Where an arrow's words stand: in the middle of it, or of its first free piece. */
export function middle(points) {
  const [[x, y], [toX, toY]] = points.length === 2 ? points : [points[1], points[2]];
  return [(x + toX) / 2, (y + toY) / 2];
}

/** The smallest rectangle around nodes. */
export function bounds(nodes) {
  if (!nodes.length) return { x: 0, y: 0, w: 1, h: 1 };
  const left = Math.min(...nodes.map((node) => node.x - node.w / 2));
  const right = Math.max(...nodes.map((node) => node.x + node.w / 2));
  const top = Math.min(...nodes.map((node) => node.y - node.h / 2));
  const bottom = Math.max(...nodes.map((node) => node.y + node.h / 2));
  return { x: left, y: top, w: right - left, h: bottom - top };
}

/** How to see a rectangle in a window: never larger than life. */
export function fitted(box, width, height) {
  const scale = Math.max(
    ZOOM_MIN,
    Math.min(1, (width - 2 * MARGIN) / box.w, (height - 2 * MARGIN) / box.h),
  );
  return {
    scale,
    x: (width - box.w * scale) / 2 - box.x * scale,
    y: (height - box.h * scale) / 2 - box.y * scale,
  };
}

/** How a drawing is first seen: all of it, or where it begins if it would be too small to read. */
export function begun(nodes, width, height) {
  const all = fitted(bounds(nodes), width, height);
  if (all.scale >= READABLE) return all;
  const first = nodes.reduce((best, node) => (node.x < best.x ? node : best));
  const scale = 0.65;
  return { scale, x: MARGIN - (first.x - first.w / 2) * scale, y: height / 2 - first.y * scale };
}

/** By how much a window must go for all of a node to be seen in it, its port and its time included. */
export function shortfall(node, { scale, x, y }, width, height) {
  const [middle, level] = [node.x * scale + x, node.y * scale + y];
  const [wide, high] = [(node.w / 2) * scale + 12, (node.h / 2) * scale + 8];
  const below = high + 12 * scale;
  return [
    Math.max(0, wide - middle) || Math.min(0, width - wide - middle),
    Math.max(0, high - level) || Math.min(0, height - below - level),
  ];
}

/** Where a box goes that belongs to a node: below it, above it, or on the side that has room, and within the window. */
export function beside(node, { scale, x, y }, [wide, high], [width, height]) {
  const [middle, level] = [node.x * scale + x, node.y * scale + y];
  const [half, below] = [(node.w / 2) * scale + 10, (node.h / 2 + 14) * scale];
  const above = level - (node.h / 2) * scale - 8 - high;
  const within = (at, size, all) => Math.max(4, Math.min(at, all - size - 4));
  if (level + below + high + 4 <= height) return [within(middle - wide / 2, wide, width), level + below];
  if (above >= 4) return [within(middle - wide / 2, wide, width), above];
  const [before, after] = [middle - half, width - middle - half];
  const left = after >= before ? Math.min(middle + half, width - wide - 4) : middle - half - wide;
  return [Math.max(4, left), within(level - high / 2, high, height)];
}

/** The same view, larger or smaller, with one point of the window staying where it is. */
export function zoomed(view, factor, [x, y]) {
  const scale = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
}

/** The nodes that a rectangle touches. */
export function within(nodes, box) {
  return nodes
    .filter(({ x, y, w, h }) => overlap(box, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    .map((node) => node.id);
}

/** The node that an arrow key goes to: near, and in that direction rather than beside it. */
export function neighbour(nodes, from, key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null;
  let least = Infinity;
  for (const node of nodes) {
    const along = (node.x - from.x) * dx + (node.y - from.y) * dy;
    const aside = Math.abs((node.x - from.x) * dy) + Math.abs((node.y - from.y) * dx);
    if (node.id === from.id || along <= 1) continue;
    if (along + 2 * aside < least) [best, least] = [node, along + 2 * aside];
  }
  return best;
}

/** Whether two rectangles touch, the second given by its corners. */
export function overlap(box, left, top, right, bottom) {
  return right >= box.x && left <= box.x + box.w && bottom >= box.y && top <= box.y + box.h;
}

/** The corners of the rectangle around points, with room for an arrow's swing. */
export function extent(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return [Math.min(...xs) - 90, Math.min(...ys) - 20, Math.max(...xs) + 90, Math.max(...ys) + 20];
}

function round(value) {
  return Math.round(value * 10) / 10;
}

// ---------------------------------------------------------------- pure: words

/** Milliseconds as text. */
export function ms(value) {
  if (value == null) return "–";
  if (value >= 60000) return `${Math.floor(value / 60000)} min ${Math.round((value % 60000) / 1000)} s`;
  if (value >= 1000) return `${significant(value / 1000)} s`;
  return value >= 0.1 || value === 0 ? `${significant(value)} ms` : `${significant(value * 1000)} µs`;
}

/** Bytes as text. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < 3) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${significant(bytes)} ${units[unit]}`;
}

function significant(value) {
  return String(Number(value.toPrecision(value >= 100 ? 3 : 2)));
}

/** How wide an arrow is drawn that carries so many bytes. */
export function thickness(bytes) {
  return Math.min(9, 1.5 + 0.9 * Math.max(0, Math.log10(Math.max(1, bytes)) - 1.5));
}

/** A name without its middle, if it is long. */
export function short(name, most = 30) {
  const half = most / 2;
  return name.length <= most ? name : `${name.slice(0, half)}…${name.slice(1 - half)}`;
}

/** The functions that a search finds: those that begin with it first, then those that have its letters in order. */
export function search(functions, text) {
  const wanted = text.trim().toLowerCase();
  const rank = ({ name }) => {
    const at = name.toLowerCase().indexOf(wanted);
    if (at >= 0) return at === 0 ? 0 : 1;
    let next = 0;
    for (const letter of name.toLowerCase()) if (letter === wanted[next]) next += 1;
    return next === wanted.length ? 2 : 3;
  };
  return functions
    .map((each) => [rank(each), each])
    .filter(([found]) => found < 3)
    .sort(([a, x], [b, y]) => a - b || (x.name < y.name ? -1 : 1))
    .map(([, each]) => each);
}

/** What a key means in the drawing; null if nothing. */
export function action(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    return { z: event.shiftKey ? "redo" : "undo", y: "redo", d: "duplicate", a: "all", Enter: "run" }[key] ?? null;
  }
  if (key.startsWith("Arrow")) return event.altKey ? "nudge" : event.shiftKey ? "extend" : "go";
  if (event.altKey) return null;
  const plain = {
    Delete: "delete", Backspace: "delete", Escape: "escape", Enter: "enter", a: "add", c: "connect", d: "duplicate",
    f: "fit", 0: "fit", l: "arrange", r: event.shiftKey ? "runHere" : "run", s: "stop", e: "edge", p: "properties",
    "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", "?": "help", " ": "pick",
  };
  return plain[key] ?? null;
}

/** One line about a node's latency: the last, or p50 and p99 once there are several runs. */
export function figures(latency, counted) {
  if (!latency) return "";
  const [last, half, most] = latency.run;
  return counted > 1 ? `p50 ${ms(half)} · p99 ${ms(most)}` : ms(last);
}

export const KEYS = [
  ["A", "add a function: search, then Enter"], ["arrows", "go from node to node; with Shift: select more"],
  ["C, arrows, Enter", "draw an arrow from the node; Esc: do not"], ["E", "the node's arrows, one after the other"],
  ["P", "the node's arguments and options"], ["Delete", "delete what is selected"],
  ["D", "duplicate"], ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["Ctrl+A", "select all"],
  ["Alt+arrows", "move what is selected"], ["L", "lay out in layers"], ["F, +, −", "fit, zoom"],
  ["R", "run; Shift+R: run from the node; S: stop"], ["drag", "move; with Shift: select with a rectangle"],
];

// ---------------------------------------------------------------- the talk with Python

/** What Python leaves out of a node when it is empty. */
const NODE = { words: "", arguments: "", gpu: false, batching: false, colocated: false, signature: "", names: [], inputs: [], bends: [], ports: 1, marks: [] };

/** Operations out, answers in: each operation's promise gives its answer. */
export class Session {
  constructor(model) {
    this.model = model;
    this.own = Math.random().toString(36).slice(2, 8); // several front ends hear each answer
    this.count = 0;
    this.rev = 0; // of what is drawn
    this.waiting = new Map();
    this.listeners = new Set();
    model.on("msg:custom", (answer) => this.hear(answer));
    for (const name of ["graph", "status", "palette"]) {
      model.on(`change:${name}`, () => this.listeners.forEach((listener) => listener(name)));
    }
  }

  get graph() {
    const said = this.read("graph", "{}");
    const nodes = (said.nodes ?? []).map((node) => ({ ...NODE, ...node }));
    return { sources: [], options: {}, rev: 0, name: "", code: "", obstacle: "", ...said, nodes };
  }

  get status() {
    return { run: 0, runs: [], nodes: {}, latency: {}, edges: [], counted: 0, state: "", ...this.read("status", "{}") };
  }

  get palette() {
    return this.read("palette", "[]");
  }

  read(name, empty) {
    return JSON.parse(this.model.get(name) || empty);
  }

  /** Send an operation. The promise gives what Python answers: done, refused with a reason, or what was asked. */
  send(op, given = {}) {
    const id = `${this.own}-${++this.count}`;
    this.model.send({ ...given, op, id, rev: this.rev });
    return new Promise((resolve) => this.waiting.set(id, { resolve, said: null }));
  }

  hear(answer) {
    const waits = this.waiting.get(answer?.id);
    if (!waits) return;
    if (answer.kind !== "done" && answer.kind !== "refused") {
      waits.said = answer; // what was asked for comes before the word that all is done
      return;
    }
    this.waiting.delete(answer.id);
    waits.resolve(waits.said ?? answer);
  }
}

// ---------------------------------------------------------------- the page: small helpers

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  return furnish(made, properties, children);
}

function shape(name, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), properties, children);
}

function furnish(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.setAttribute("class", value);
    else if (key in made && !(made instanceof SVGElement) && key !== "list") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null && child !== ""));
  return made;
}

/** Show a part of the drawing or not; it is touched only if that changes. */
function hide(part, hidden) {
  if (Boolean(part.hidden) === hidden) return;
  part.hidden = hidden;
  part.group.style.display = hidden ? "none" : "";
}

/** A button that says what it does, and by which key. */
function button(label, title, act, more = {}) {
  return element("button", { type: "button", class: "cbd-button", title, onclick: act, ...more }, label);
}

// ---------------------------------------------------------------- the page: the editor

class View {
  constructor(session) {
    this.session = session;
    this.view = { scale: 1, x: 0, y: 0 };
    this.selected = new Set();
    this.edge = null; // [source, target] if an arrow is selected
    this.drawn = new Map(); // by node: its elements, and the text of what they show
    this.lines = new Map(); // by arrow
    this.tab = "properties";
    this.compared = [];
    this.closed = new Set(); // tracebacks that were closed, by run and node
    this.wrong = new Map(); // by field: what was typed there and not taken, and why
    this.scrolled = new Map(); // by what is scrolled: how far
    this.linking = null;
    this.mine = false; // whether the last change came from here
    this.root = this.build();
    this.listener = (name) => this.changed(name);
    session.listeners.add(this.listener);
    this.drawAll();
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.canvas);
  }

  // ------------------------------------------------------------ structure

  build() {
    this.title = element("span", { class: "cbd-title" });
    const tools = [
      ["undo", "↶", "Undo (Ctrl+Z)"], ["redo", "↷", "Redo (Ctrl+Shift+Z)"], ["delete", "Delete", "Delete what is selected (Delete)"],
      ["duplicate", "Duplicate", "Duplicate what is selected (D)"], ["arrange", "Layout", "Lay out in layers (L)"],
      ["fit", "Fit", "See all (F)"], ["zoomOut", "−", "Smaller (−)"], ["zoomIn", "+", "Larger (+)"], ["help", "?", "Keys (?)"],
    ];
    this.tools = {};
    for (const [name, label, title] of tools) {
      this.tools[name] = button(label, title, () => this.act(name), { "data-testid": `tool-${name}`, ariaLabel: title });
    }
    this.inputs = element("span", { class: "cbd-inputs" });
    this.times = element("select", { class: "cbd-times", title: "How often", ariaLabel: "How often to run", "data-testid": "run-times" },
      ...[1, 10, 100].map((count) => element("option", { value: String(count) }, `× ${count}`)));
    this.runButton = button("▶ Run", "Run the DAG (R)", () => this.act(this.running ? "stop" : "run"), { "data-testid": "run" });
    this.runButton.classList.add("cbd-run");
    const bar = element("div", { class: "cbd-bar" }, this.title, element("span", { class: "cbd-tools" }, ...Object.values(this.tools)),
      element("span", { class: "cbd-runbar" }, this.inputs, this.times, this.runButton));
    this.search = element("input", {
      class: "cbd-search", type: "search", placeholder: "Search functions", ariaLabel: "Search functions", "data-testid": "palette-search",
      oninput: () => this.drawPalette(), onkeydown: (event) => this.onSearchKey(event),
    });
    this.functions = element("div", { class: "cbd-functions", role: "listbox", ariaLabel: "Functions" });
    const palette = element("div", { class: "cbd-palette", "data-testid": "palette" }, this.search, this.functions);
    this.side = element("div", { class: "cbd-side", "data-testid": "side" });
    this.say = element("div", { class: "cbd-say", role: "status", ariaLive: "polite", "data-testid": "message" });
    const root = element("div", { class: "cbd", "data-lm-suppress-shortcuts": "true", "data-testid": "dag-editor" },
      bar, element("div", { class: "cbd-main" }, palette, this.buildCanvas(), this.side), this.say);
    for (const kind of ["keydown", "keypress", "keyup"]) root.addEventListener(kind, (event) => event.stopPropagation());
    root.addEventListener("contextmenu", (event) => event.stopPropagation());
    root.addEventListener("focusin", (event) => (this.focused = event.target));
    root.addEventListener("scroll", ({ target }) => this.scrolled.set(target, [target.scrollLeft, target.scrollTop]), true);
    return root;
  }

  buildCanvas() {
    const tip = `cbd-tip-${this.session.own}`;
    this.edgeLayer = shape("g", { class: "cbd-edges" });
    this.nodeLayer = shape("g", { class: "cbd-nodes" });
    this.overLayer = shape("g", { class: "cbd-over" });
    this.world = shape("g", {}, this.edgeLayer, this.nodeLayer, this.overLayer);
    const arrow = (id, kind) => shape("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, orient: "auto", markerUnits: "userSpaceOnUse" },
      shape("path", { d: "M0,0.5 L8,4 L0,7.5 z", class: kind }));
    this.svg = shape("svg", { class: "cbd-svg", tabindex: 0, role: "application", "data-testid": "canvas",
      "aria-label": "The drawing. Press ? for its keys." }, shape("defs", {}, arrow(tip, "cbd-arrow"), arrow(`${tip}-on`, "cbd-arrow-on")), this.world);
    this.svg.style.setProperty("--cbd-tip", `url(#${tip})`);
    this.svg.style.setProperty("--cbd-tip-on", `url(#${tip}-on)`);
    this.svg.addEventListener("pointerdown", (event) => this.onPointerDown(event));
    this.svg.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.svg.addEventListener("keydown", (event) => this.onKey(event));
    this.svg.addEventListener("dblclick", (event) => this.onDoubleClick(event));
    this.empty = element("div", { class: "cbd-empty" });
    this.bubbles = element("div", { class: "cbd-bubbles" });
    this.note = element("div", { class: "cbd-note", hidden: true });
    this.help = element("div", { class: "cbd-help", hidden: true, "data-testid": "help" },
      element("b", {}, "Keys, while the drawing has the focus"),
      element("table", {}, ...KEYS.map(([keys, what]) => element("tr", {}, element("td", {}, keys), element("td", {}, what)))));
    this.canvas = element("div", { class: "cbd-canvas" }, this.svg, this.empty, this.bubbles, this.note, this.help);
    return this.canvas;
  }

  // ------------------------------------------------------------ what Python says

  get graph() {
    return this.cachedGraph ?? (this.cachedGraph = this.session.graph);
  }

  get status() {
    return this.cachedStatus ?? (this.cachedStatus = this.session.status);
  }

  get running() {
    return this.status.state === "running" || this.status.left > 0;
  }

  node(id) {
    return this.byId.get(id);
  }

  changed(name) {
    if (!this.root.isConnected) {
      this.missed = true;
      return;
    }
    if (name === "palette") this.drawPalette();
    if (name === "graph") this.drawGraph();
    if (name === "status") this.drawStatus();
  }

  /** Back in the page: show what was missed. */
  back() {
    if (this.missed) this.drawAll();
    this.missed = false;
    for (const [part, [left, top]] of this.scrolled) {
      if (this.root.contains(part)) part.scrollTo(left, top);
      else this.scrolled.delete(part);
    }
    // The page takes away what it renews, and with it the focus: it comes back with the editor.
    const lost = document.activeElement === document.body && this.root.contains(this.focused);
    if (lost) this.focused.focus({ preventScroll: true });
  }

  drawAll() {
    this.drawPalette();
    this.drawGraph();
  }

  drawGraph() {
    const before = this.byId;
    this.cachedGraph = null;
    const { nodes } = this.graph;
    this.byId = new Map(nodes.map((node) => [node.id, node]));
    for (const id of this.selected) if (!this.byId.has(id)) this.selected.delete(id);
    if (this.edge && !this.node(this.edge[1])?.inputs.includes(this.edge[0])) this.edge = null;
    for (const [field, { instead }] of this.wrong) if (this.said(field) !== instead) this.wrong.delete(field);
    this.title.textContent = this.graph.name;
    this.tools.undo.disabled = !this.graph.undo;
    this.tools.redo.disabled = !this.graph.redo;
    this.drawNodes(nodes);
    this.drawEdges(nodes);
    this.cull();
    this.drawEmpty();
    this.drawInputs();
    this.drawStatus();
    const foreign = !before || (!this.mine && nodes.some(({ id }) => !before.has(id)));
    if (foreign) this.begin();
    this.mine = false;
    this.svg.dataset.rev = this.session.rev = this.graph.rev;
  }

  drawEmpty() {
    const nothing = !this.graph.nodes.length;
    this.empty.hidden = !nothing;
    if (!nothing) return;
    this.empty.textContent = this.session.palette.length
      ? "Drag functions from the left into this field, then draw arrows from port to port."
      : "No function is registered yet: put %%cloudburst or @cb.function above some, and they appear on the left.";
  }

  // ------------------------------------------------------------ nodes and arrows

  drawNodes(nodes) {
    for (const [id, { group }] of this.drawn) {
      if (!this.byId.has(id)) {
        group.remove();
        this.drawn.delete(id);
      }
    }
    for (const node of nodes) {
      const shown = JSON.stringify([node.w, node.h, node.words, node.ports, node.inputs.length, node.marks, node.names, node.signature]);
      let known = this.drawn.get(node.id);
      if (!known || known.shown !== shown) {
        const group = this.nodeShape(node);
        if (known) known.group.replaceWith(group);
        else this.nodeLayer.append(group);
        known = { group, shown, state: null };
        this.drawn.set(node.id, known);
      }
      this.place(known, node.x, node.y);
    }
  }

  place(known, x, y) {
    if (known.x === x && known.y === y) return;
    [known.x, known.y] = [x, y];
    known.group.setAttribute("transform", `translate(${round(x)},${round(y)})`);
  }

  nodeShape(node) {
    const [left, top] = [-node.w / 2, -node.h / 2];
    const worst = node.marks.some(([level]) => level === "error") ? "error" : node.marks.length ? "warning" : "";
    const centre = left + (node.w - 30) / 2 + 4;
    const ports = [];
    for (let port = 0; port < node.ports; port += 1) {
      const name = node.names[port] ?? "";
      ports.push(shape("circle", { class: `cbd-port cbd-in ${port < node.inputs.length ? "used" : ""}`, cx: left, cy: round(portOffset(node, port)), r: 4,
        "data-port": port, "data-testid": `in-${node.id}-${port}` }, shape("title", {}, name ? `argument ${name}` : `input ${port + 1}`)));
    }
    const said = node.marks.map(([, text]) => text).join("\n");
    return shape("g", { class: `cbd-node ${worst}`, "data-node": node.id, "data-testid": `node-${node.id}` },
      shape("title", {}, [`${node.id}${node.signature}`, said].filter(Boolean).join("\n")),
      shape("rect", { class: "cbd-box", x: left, y: top, width: node.w, height: node.h, rx: 7 }),
      shape("text", { class: "cbd-name", x: centre, y: node.words ? -2 : 5 }, short(node.id)),
      node.words ? shape("text", { class: "cbd-words", x: centre, y: 14 }, node.words) : null,
      shape("text", { class: "cbd-state", x: node.w / 2 - 18, y: 5, "data-testid": `state-${node.id}` }),
      worst ? shape("text", { class: "cbd-mark", x: left + 3, y: top - 3 }, "⚠") : null,
      shape("text", { class: "cbd-time", x: 0, y: node.h / 2 + 11 }),
      ...ports,
      shape("circle", { class: "cbd-port cbd-out", cx: node.w / 2, cy: 0, r: 5, "data-out": node.id, "data-testid": `out-${node.id}` },
        shape("title", {}, "drag from here to another node")));
  }

  drawEdges(nodes) {
    const wanted = new Map();
    for (const node of nodes) node.inputs.forEach((source, port) => wanted.set(`${source}\n${node.id}`, [source, node.id, port]));
    for (const [key, line] of this.lines) {
      if (!wanted.has(key)) {
        line.group.remove();
        this.lines.delete(key);
      }
    }
    this.linesOf = new Map();
    for (const [key, [source, target, port]] of wanted) {
      let line = this.lines.get(key);
      if (!line) {
        line = this.edgeShape(source, target);
        this.lines.set(key, line);
        this.edgeLayer.append(line.group);
      }
      Object.assign(line, { source, target, port });
      for (const end of [source, target]) {
        if (!this.linesOf.has(end)) this.linesOf.set(end, []);
        this.linesOf.get(end).push(line);
      }
      this.route(line);
    }
  }

  edgeShape(source, target) {
    const way = shape("path", { class: "cbd-way" });
    const hit = shape("path", { class: "cbd-hit" });
    const label = shape("text", { class: "cbd-label" });
    const title = shape("title");
    const group = shape("g", { class: "cbd-edge", "data-edge": JSON.stringify([source, target]), "data-testid": `edge-${source}-${target}` }, title, way, hit, label);
    return { group, way, hit, label, title };
  }

  /** Lay an arrow between where its ends are at this moment. */
  route(line) {
    const [source, target] = [this.node(line.source), this.node(line.target)];
    const [from, to] = [this.drawn.get(line.source), this.drawn.get(line.target)];
    const start = outPoint({ ...source, x: from.x, y: from.y });
    const end = inPoint({ ...target, x: to.x, y: to.y }, line.port);
    end[0] -= 3;
    const still = from.x === source.x && from.y === source.y && to.x === target.x && to.y === target.y;
    const points = [start, ...(still ? target.bends[line.port] ?? [] : []), end];
    const path = through(points);
    if (path === line.path) return;
    line.path = path;
    line.extent = extent(points);
    line.way.setAttribute("d", path);
    line.hit.setAttribute("d", path);
    const [x, y] = middle(points);
    line.label.setAttribute("x", round(x));
    line.label.setAttribute("y", round(y - 5));
  }

  // ------------------------------------------------------------ the last run

  drawStatus() {
    this.cachedStatus = null;
    const status = this.status;
    for (const [id, known] of this.drawn) this.drawState(id, known, status.nodes[id] ?? {}, status.latency[id], status.counted);
    for (const [source, target, latency] of status.edges) this.drawLatency(this.lines.get(`${source}\n${target}`), latency);
    this.runButton.textContent = this.running ? (status.left ? `■ Stop (${status.left} left)` : "■ Stop") : "▶ Run";
    this.runButton.disabled = !this.running && Boolean(this.graph.obstacle);
    this.runButton.title = this.graph.obstacle || (this.running ? "Stop (S)" : "Run the DAG (R)");
    this.drawBubbles();
    this.drawSelection();
    this.drawSide();
    this.drawSaid();
  }

  drawState(id, known, state, latency, counted) {
    const shown = JSON.stringify([state, latency?.run, counted]);
    if (known.state === shown) return;
    known.state = shown;
    const [symbol, time] = [known.group.querySelector(".cbd-state"), known.group.querySelector(".cbd-time")];
    symbol.textContent = state.state ? SYMBOLS[state.state] ?? "" : "";
    const words = [state.state, state.ms == null ? "" : `in ${ms(state.ms)}`, state.executor ? `on ${state.executor}` : "", state.stale ?? ""];
    symbol.append(shape("title", {}, words.filter(Boolean).join(" ")));
    time.textContent = state.stale ? "stale" : state.state === "pinned" ? "kept" : figures(latency, counted);
    known.group.dataset.state = state.state ?? "";
    known.group.classList.toggle("stale", Boolean(state.stale));
    known.group.setAttribute("aria-label", [id, ...words].filter(Boolean).join(", "));
  }

  drawLatency(line, latency) {
    if (!line) return;
    const shown = JSON.stringify(latency);
    if (line.shown === shown) return;
    line.shown = shown;
    line.way.style.strokeWidth = thickness(latency.nbytes[1]);
    line.label.textContent = ms(latency.transfer[1]);
    const row = (name, [last, half, most]) => `${name}: last ${ms(last)}, p50 ${ms(half)}, p99 ${ms(most)}`;
    line.title.textContent = [`${line.source} → ${line.target}: ${size(latency.nbytes[0])}`, row("transfer", latency.transfer),
      row("queue", latency.queue), row("deserialise", latency.decode)].join("\n");
  }

  /** Tracebacks, beside the nodes that failed. */
  drawBubbles() {
    const failed = Object.entries(this.status.nodes).filter(([id, { traceback }]) => traceback && this.byId.has(id) && !this.closed.has(`${this.status.run}/${id}`));
    const shown = JSON.stringify(failed.map(([id, { traceback }]) => [id, traceback]));
    if (this.bubbled !== shown) {
      this.bubbled = shown;
      this.bubbles.replaceChildren(...failed.map(([id, { traceback }]) => {
        const close = button("×", "Close", () => {
          this.closed.add(`${this.status.run}/${id}`);
          this.drawBubbles();
        });
        const text = element("pre", {}, traceback.trimEnd());
        return element("div", { class: "cbd-bubble", "data-bubble": id, "data-testid": `traceback-${id}` },
          element("div", {}, element("b", {}, `✗ ${short(id)} failed`), close), text);
      }));
      for (const bubble of this.bubbles.children) bubble.querySelector("pre").scrollTop = 1e6;
    }
    this.placeBubbles();
  }

  placeBubbles() {
    const width = this.canvas.clientWidth;
    for (const bubble of this.bubbles.children) {
      const node = this.node(bubble.dataset.bubble);
      const [left, top] = beside(node, this.view, [bubble.offsetWidth, bubble.offsetHeight], [width, this.canvas.clientHeight]);
      bubble.style.left = `${left}px`;
      bubble.style.top = `${top}px`;
    }
  }

  // ------------------------------------------------------------ words below

  drawSaid() {
    const wrong = this.graph.nodes.length ? this.graph.obstacle : "";
    const last = this.status.runs.at(-1);
    const [kind, text] = this.refusal ? ["refused", this.refusal]
      : this.hint ? ["hint", this.hint]
      : this.status.message ? ["refused", this.status.message]
      : wrong ? ["wrong", `⚠ ${wrong}`]
      : last && last.state === "failed" ? ["refused", `✗ run ${last.run} failed${last.failed ? ` in ${last.failed}` : ""}: ${last.reason}`]
      : last && last.state === "cancelled" ? ["hint", `⊘ run ${last.run} was stopped`]
      : last && last.state === "done" ? ["hint", `✓ run ${last.run} took ${last.took}${last.begin ? `, from ${last.begin} on` : ""}${this.staleWords()}`]
      : last ? ["hint", `◐ run ${last.run} …`]
      : ["hint", this.firstWarning()];
    this.say.className = `cbd-say ${kind}`;
    if (this.say.textContent !== text) this.say.textContent = text;
  }

  staleWords() {
    const stale = Object.values(this.status.nodes).find((each) => each.stale);
    return stale ? `; ${stale.stale}` : "";
  }

  firstWarning() {
    const node = this.graph.nodes.find(({ marks }) => marks.length);
    return node ? `⚠ ${node.marks[0][1]}` : "";
  }

  /** An operation; a refusal is shown until the next one. */
  async send(op, given = {}) {
    this.refusal = this.hint = "";
    this.mine = true;
    const answer = await this.session.send(op, given);
    if (answer.kind === "refused") {
      this.refusal = answer.reason;
      this.mine = false;
    }
    this.drawSaid();
    return answer;
  }

  // ------------------------------------------------------------ the palette

  drawPalette() {
    const found = search(this.session.palette, this.search.value);
    this.functions.replaceChildren(...found.map((each) =>
      element("div", {
        class: "cbd-function", role: "option", tabIndex: -1, title: `${each.name}${each.signature}: drag it into the drawing`, "data-function": each.name,
        "data-testid": `function-${each.name}`, onpointerdown: (event) => this.onFunctionDown(event, each.name),
        ondblclick: () => this.send("add", { function: each.name }), onkeydown: (event) => this.onFunctionKey(event, each.name),
      }, element("span", { class: "cbd-function-name" }, each.name), element("span", { class: "cbd-soft" }, `v${each.version}`),
      element("div", { class: "cbd-signature" }, each.signature))));
    if (!found.length) {
      this.functions.append(element("div", { class: "cbd-soft cbd-nothing" }, this.session.palette.length ? "no such function" : "no functions yet"));
    }
    if (this.byId) this.drawEmpty();
  }

  onSearchKey(event) {
    if (event.key === "ArrowDown") this.functions.querySelector(".cbd-function")?.focus();
    else if (event.key === "Enter") this.addFound(search(this.session.palette, this.search.value)[0]?.name);
    else if (event.key === "Escape") this.svg.focus();
    else return;
    event.preventDefault();
  }

  onFunctionKey(event, name) {
    const here = event.currentTarget;
    if (event.key === "ArrowDown") here.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") (here.previousElementSibling ?? this.search).focus();
    else if (event.key === "Enter" || event.key === " ") this.addFound(name);
    else if (event.key === "Escape") this.svg.focus();
    else return;
    event.preventDefault();
  }

  async addFound(name) {
    if (!name) return;
    const answer = await this.send("add", { function: name });
    if (answer.kind === "refused") return;
    this.select([name]);
    this.reveal(name);
    this.svg.focus();
  }

  onFunctionDown(event, name) {
    if (event.button) return;
    const ghost = element("div", { class: "cbd-ghost" }, name);
    this.drag(event, {
      begin: () => this.root.append(ghost),
      move: (now) => {
        const box = this.root.getBoundingClientRect();
        ghost.style.left = `${now.clientX - box.left}px`;
        ghost.style.top = `${now.clientY - box.top}px`;
      },
      end: (now, moved) => {
        ghost.remove();
        if (!moved || !this.isOver(now)) return;
        const [x, y] = this.at(now);
        this.send("add", { function: name, x, y }).then((answer) => {
          if (answer.kind !== "done") return;
          this.select([name]);
          this.reveal(name);
        });
        this.svg.focus({ preventScroll: true });
      },
    });
  }

  isOver(event) {
    const box = this.svg.getBoundingClientRect();
    return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  }

  // ------------------------------------------------------------ dragging

  /** Follow the pointer until it is released, wherever that is; below a few pixels it was a click. */
  drag(event, { begin = () => {}, move, end }) {
    event.preventDefault();
    const [x, y] = [event.clientX, event.clientY];
    let moved = false;
    const onMove = (now) => {
      if (!moved && Math.hypot(now.clientX - x, now.clientY - y) < CLICK_PIXELS) return;
      if (!moved) begin();
      moved = true;
      move(now);
    };
    const onEnd = (now) => {
      document.removeEventListener("pointermove", onMove, true);
      document.removeEventListener("pointerup", onEnd, true);
      document.removeEventListener("pointercancel", onEnd, true);
      end(now, moved);
    };
    document.addEventListener("pointermove", onMove, true);
    document.addEventListener("pointerup", onEnd, true);
    document.addEventListener("pointercancel", onEnd, true);
  }

  /** A place in the window as one in the drawing. */
  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [(event.clientX - box.left - this.view.x) / this.view.scale, (event.clientY - box.top - this.view.y) / this.view.scale];
  }

  onPointerDown(event) {
    if (event.button) return;
    this.svg.focus({ preventScroll: true });
    this.help.hidden = true;
    const out = event.target.closest("[data-out]");
    const node = event.target.closest("[data-node]");
    const edge = event.target.closest("[data-edge]");
    if (out) this.dragLink(event, out.dataset.out);
    else if (node) this.dragNodes(event, node.dataset.node);
    else if (edge) this.selectEdge(JSON.parse(edge.dataset.edge));
    else if (event.shiftKey) this.dragRectangle(event);
    else this.dragView(event);
  }

  dragView(event) {
    const before = { ...this.view };
    this.drag(event, {
      begin: () => this.svg.classList.add("panning"),
      move: (now) => this.lookAt({ ...before, x: before.x + now.clientX - event.clientX, y: before.y + now.clientY - event.clientY }),
      end: (now, moved) => {
        this.svg.classList.remove("panning");
        if (!moved) this.select([]);
      },
    });
  }

  dragRectangle(event) {
    const [x, y] = this.at(event);
    const box = shape("rect", { class: "cbd-rectangle" });
    let found = [];
    this.drag(event, {
      begin: () => this.overLayer.append(box),
      move: (now) => {
        const [toX, toY] = this.at(now);
        const area = { x: Math.min(x, toX), y: Math.min(y, toY), w: Math.abs(toX - x), h: Math.abs(toY - y) };
        for (const [name, value] of [["x", area.x], ["y", area.y], ["width", area.w], ["height", area.h]]) box.setAttribute(name, value);
        found = within(this.graph.nodes, area);
        this.select(found);
      },
      end: () => box.remove(),
    });
  }

  dragNodes(event, id) {
    const additional = event.shiftKey || event.ctrlKey || event.metaKey;
    if (!this.selected.has(id)) this.select(additional ? [...this.selected, id] : [id]);
    else if (additional) {
      this.select([...this.selected].filter((other) => other !== id));
      return;
    }
    const moving = [...this.selected].map((each) => [each, this.drawn.get(each).x, this.drawn.get(each).y]);
    this.drag(event, {
      begin: () => this.svg.classList.add("moving"),
      move: (now) => this.shift(moving, (now.clientX - event.clientX) / this.view.scale, (now.clientY - event.clientY) / this.view.scale),
      end: (now, moved) => {
        this.svg.classList.remove("moving");
        if (moved) this.sendPlaces(moving.map(([each]) => each)).then(() => this.reveal(id));
        else if (!additional) this.select([id]);
      },
    });
  }

  shift(moving, dx, dy) {
    const touched = new Set();
    for (const [id, x, y] of moving) {
      const known = this.drawn.get(id);
      if (!known) continue;
      this.place(known, x + dx, y + dy);
      for (const line of this.linesOf.get(id) ?? []) touched.add(line);
    }
    for (const line of touched) this.route(line);
    if (this.bubbles.childElementCount) this.placeBubbles();
  }

  sendPlaces(ids) {
    const places = {};
    for (const id of ids) if (this.drawn.has(id)) places[id] = [round(this.drawn.get(id).x), round(this.drawn.get(id).y)];
    return this.send("move", { places });
  }

  // ------------------------------------------------------------ drawing arrows

  beginLink(source) {
    this.linking = { source, refused: {}, target: null };
    this.refusal = this.hint = "";
    this.drawSaid();
    const linking = this.linking;
    this.drawn.get(source)?.group.classList.add("linking");
    this.svg.classList.add("linking");
    this.session.send("targets", { source }).then((answer) => {
      if (this.linking !== linking || !answer.refused) return;
      linking.refused = answer.refused;
      for (const id of Object.keys(answer.refused)) this.drawn.get(id)?.group.classList.add("unfit");
      this.aimAt(linking.target, linking.port);
    });
    this.ghost = shape("path", { class: "cbd-ghost-way" });
    this.overLayer.append(this.ghost);
  }

  aimAt(target, port) {
    const linking = this.linking;
    if (!linking) return;
    for (const { group } of this.drawn.values()) group.classList.remove("aim", "refused");
    linking.target = target;
    linking.port = port;
    const reason = target ? linking.refused[target] : "";
    if (target) this.drawn.get(target)?.group.classList.add(reason ? "refused" : "aim");
    this.ghost.classList.toggle("refused", Boolean(reason));
    this.tell(reason || this.arrowWords(linking.source, target, port), Boolean(reason));
  }

  arrowWords(source, target, port) {
    if (!target) return "";
    const node = this.node(target);
    const name = node.names[port ?? node.inputs.length];
    return `${source} → ${target}${name ? `, as ${name}` : ""}`;
  }

  /** A word beside the arrow that is being drawn. */
  tell(text, refused) {
    this.note.hidden = !text;
    this.note.textContent = text;
    this.note.classList.toggle("refused", refused);
    const known = this.drawn.get(this.linking?.target);
    if (!text || !known) return;
    const node = this.node(this.linking.target);
    const x = known.x * this.view.scale + this.view.x;
    const y = (known.y - node.h / 2) * this.view.scale + this.view.y - this.note.offsetHeight - 8;
    this.note.style.left = `${Math.max(4, Math.min(x - this.note.offsetWidth / 2, this.canvas.clientWidth - this.note.offsetWidth - 4))}px`;
    this.note.style.top = `${Math.max(4, y)}px`;
  }

  endLink(connect) {
    const linking = this.linking;
    if (!linking) return;
    this.linking = null;
    this.ghost.remove();
    this.note.hidden = true;
    this.svg.classList.remove("linking");
    for (const { group } of this.drawn.values()) group.classList.remove("linking", "unfit", "aim", "refused");
    if (connect && linking.target) {
      const at = linking.port == null ? {} : { at: Number(linking.port) };
      this.send("connect", { source: linking.source, target: linking.target, ...at });
    }
  }

  dragLink(event, source) {
    this.beginLink(source);
    const start = outPoint({ ...this.node(source), x: this.drawn.get(source).x, y: this.drawn.get(source).y });
    this.drag(event, {
      move: (now) => {
        const under = document.elementFromPoint(now.clientX, now.clientY);
        const target = this.svg.contains(under) ? under.closest("[data-node]")?.dataset.node ?? null : null;
        const port = under?.closest?.("[data-port]")?.dataset.port;
        this.ghost.setAttribute("d", curve(start, this.at(now)));
        this.aimAt(target, port == null ? null : Number(port));
      },
      end: (now, moved) => this.endLink(moved),
    });
  }

  // ------------------------------------------------------------ what is seen

  look(view) {
    this.view = view;
    this.world.setAttribute("transform", `translate(${round(view.x)},${round(view.y)}) scale(${Math.round(view.scale * 1e4) / 1e4})`);
    this.svg.classList.toggle("far", view.scale < 0.55);
    this.svg.classList.toggle("very-far", view.scale < 0.3);
    this.cull();
    if (this.bubbles.childElementCount) this.placeBubbles();
  }

  /** Leave out what is not seen: the browser would lay its words out all the same. */
  cull() {
    if (!this.byId || !this.canvas.clientWidth) return;
    const { x, y, scale } = this.view;
    const box = { x: -x / scale, y: -y / scale, w: this.canvas.clientWidth / scale, h: this.canvas.clientHeight / scale };
    for (const [id, known] of this.drawn) {
      const node = this.node(id);
      hide(known, !overlap(box, known.x - node.w, known.y - 2 * node.h, known.x + node.w, known.y + 2 * node.h));
    }
    for (const line of this.lines.values()) hide(line, !line.extent || !overlap(box, ...line.extent));
  }

  /** As the user wants it, from now on, whatever room there is. */
  lookAt(view) {
    this.looked = true;
    this.look(view);
  }

  fit() {
    this.looked = false;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (width) this.look(fitted(bounds(this.graph.nodes), width, height));
  }

  /** The first look; later, if the page has no room for the editor yet. */
  begin() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.unseen = !width;
    if (width) this.look(begun(this.graph.nodes, width, height));
  }

  resized() {
    this.cull();
    if (this.unseen || !this.looked) this.begin();
    else this.placeBubbles();
  }

  reveal(id) {
    const node = this.node(id);
    if (!node) return;
    const [dx, dy] = shortfall(node, this.view, this.canvas.clientWidth, this.canvas.clientHeight);
    if (dx || dy) this.look({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
  }

  onWheel(event) {
    if (!event.ctrlKey && !this.root.contains(document.activeElement)) return; // the page scrolls on
    event.preventDefault();
    const box = this.svg.getBoundingClientRect();
    this.lookAt(zoomed(this.view, Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 200), [event.clientX - box.left, event.clientY - box.top]));
  }

  onDoubleClick(event) {
    if (event.target.closest("[data-node]")) this.act("properties");
    else this.fit();
  }

  // ------------------------------------------------------------ selecting

  select(ids) {
    this.selected = new Set(ids);
    this.edge = null;
    this.refusal = this.hint = "";
    this.drawSelection();
    this.drawSide();
    this.drawSaid();
  }

  selectEdge(edge) {
    this.selected = new Set();
    this.edge = edge;
    this.drawSelection();
    this.drawSide();
  }

  drawSelection() {
    const edge = this.edge ? this.edge.join("\n") : null;
    const shown = JSON.stringify([[...this.selected], edge]);
    if (this.showsSelection === shown && !this.restless) return;
    this.showsSelection = shown;
    for (const [id, { group }] of this.drawn) group.classList.toggle("selected", this.selected.has(id));
    for (const [key, { group }] of this.lines) group.classList.toggle("selected", key === edge);
    this.tools.delete.disabled = !this.selected.size && !this.edge;
    this.tools.duplicate.disabled = !this.selected.size;
  }

  /** The one node that is selected. */
  get only() {
    return this.selected.size === 1 ? this.node([...this.selected][0]) : null;
  }

  // ------------------------------------------------------------ keys

  onKey(event) {
    const what = action(event);
    if (!what) return;
    event.preventDefault();
    if (what === "go" || what === "extend") this.go(event.key, what === "extend");
    else if (what === "nudge") this.nudge(event.key);
    else this.act(what);
  }

  /** Do what a key or button says. */
  act(what) {
    const chosen = [...this.selected];
    const acts = {
      undo: () => this.send("undo"),
      redo: () => this.send("redo"),
      arrange: () => this.send("arrange").then(() => this.fit()),
      delete: () => {
        if (this.edge) this.send("delete", { edges: [this.edge] });
        else if (chosen.length) this.send("delete", { nodes: chosen });
      },
      duplicate: () => chosen.length && this.duplicate(chosen),
      all: () => this.select(this.graph.nodes.map(({ id }) => id)),
      pick: () => this.graph.nodes.length && !chosen.length && this.select([this.graph.nodes[0].id]),
      fit: () => this.fit(),
      zoomIn: () => this.zoom(1.25),
      zoomOut: () => this.zoom(0.8),
      help: () => (this.help.hidden = !this.help.hidden),
      add: () => this.search.focus(),
      connect: () => this.only && this.beginLink(this.only.id),
      enter: () => (this.linking ? this.endLink(true) : this.act("properties")),
      escape: () => this.escape(),
      edge: () => this.nextEdge(),
      properties: () => this.openProperties(),
      run: () => this.run(""),
      runHere: () => this.only && this.run(this.only.id),
      stop: () => this.send("stop"),
    };
    acts[what]?.();
  }

  async duplicate(chosen) {
    const before = new Set(this.byId.keys());
    const answer = await this.send("duplicate", { nodes: chosen });
    if (answer.kind !== "done") return;
    const fresh = [...this.byId.keys()].filter((id) => !before.has(id));
    this.select(fresh);
    if (fresh.length) this.reveal(fresh.at(-1));
  }

  zoom(factor) {
    this.lookAt(zoomed(this.view, factor, [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]));
  }

  escape() {
    if (this.linking) this.endLink(false);
    else if (!this.help.hidden) this.help.hidden = true;
    else this.select([]);
  }

  go(key, extend) {
    const { nodes } = this.graph;
    if (!nodes.length) return;
    const from = this.linking ? this.node(this.linking.target ?? this.linking.source) : this.edge ? this.node(this.edge[1]) : this.node([...this.selected].at(-1));
    const next = from ? neighbour(nodes, from, key) : nodes[0];
    if (!next) return;
    this.reveal(next.id);
    if (this.linking) {
      const start = outPoint(this.node(this.linking.source));
      this.ghost.setAttribute("d", curve(start, inPoint(next, Math.min(next.inputs.length, next.ports - 1))));
      this.aimAt(next.id, null);
    } else {
      const kept = [...this.selected].filter((id) => id !== next.id);
      this.select(extend ? [...kept, next.id] : [next.id]);
    }
  }

  nudge(key) {
    const [dx, dy] = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] }[key];
    const moving = [...this.selected].map((id) => [id, this.drawn.get(id).x, this.drawn.get(id).y]);
    if (!moving.length) return;
    this.shift(moving, dx, dy);
    this.sendPlaces(moving.map(([id]) => id));
  }

  nextEdge() {
    const around = this.edge?.[2] ?? this.only?.id;
    const lines = around ? this.linesOf.get(around) ?? [] : [...this.lines.values()];
    if (!lines.length) return;
    const at = lines.findIndex(({ source, target }) => this.edge?.[0] === source && this.edge?.[1] === target);
    const { source, target } = lines[(at + 1) % lines.length];
    this.selectEdge([source, target]);
    if (around) this.edge[2] = around;
    this.hint = `${source} → ${target}: Delete removes it`;
    this.drawSaid();
  }

  openProperties() {
    this.tab = "properties";
    this.drawSide(true);
    this.side.querySelector("input, select, button:not(.cbd-tab)")?.focus();
  }

  // ------------------------------------------------------------ running

  drawInputs() {
    const sources = this.graph.sources.slice(0, 3).map((id) => this.node(id)).filter(Boolean);
    const shown = JSON.stringify(sources.map(({ id, arguments: text, signature }) => [id, text, signature, this.wrong.get(id)]));
    if (this.inputsShown === shown) return;
    this.inputsShown = shown;
    this.keepingFocus(this.inputs, () =>
      this.inputs.replaceChildren(...sources.map((node) =>
        element("label", { class: "cbd-input" }, element("span", { class: "cbd-input-name" }, `${short(node.id, 16)}(`),
          this.argumentsField(node, `input-${node.id}`), ")"))));
  }

  /** The field for a node's fixed arguments: sent when it is left, or with Enter. */
  argumentsField(node, key) {
    const field = element("input", {
      class: "cbd-arguments", type: "text", value: node.arguments, placeholder: node.names.join(", "), spellcheck: false,
      "data-key": key, "data-testid": key, title: "Python, as between the brackets of a call", ariaLabel: `Arguments of ${node.id}`,
      onchange: () => this.sendArguments(node.id, field.value),
      onkeydown: (event) => event.key === "Escape" && this.leave(field, node.id, node.arguments),
    });
    this.markWrong(field, node.id);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      this.sendArguments(node.id, field.value);
      if (key.startsWith("input-")) this.run("");
    });
    return field;
  }

  /** Have a text as a node's arguments; whether Python has taken it. */
  async sendArguments(id, text) {
    if (!this.node(id) || this.node(id).arguments === text.trim()) return this.taken(id);
    const asked = `${id}\n${text}`;
    if (this.sentArguments?.asked !== asked) {
      const answer = this.send("arguments", { node: id, text });
      this.sentArguments = { asked, answer };
      answer.then(() => (this.sentArguments = null));
    }
    const { kind, reason } = await this.sentArguments.answer;
    return kind === "refused" ? this.notTaken(id, text, `${id}: ${reason}`) : this.taken(id);
  }

  // What was not taken stays in its field, marked, until it is mended or given up (Esc), and keeps the DAG from running.

  notTaken(field, text, reason) {
    this.wrong.set(field, { text, reason, instead: this.said(field) });
    this.drawFields();
    return false;
  }

  taken(field) {
    if (this.wrong.delete(field)) this.drawFields();
    return true;
  }

  drawFields() {
    this.drawInputs();
    this.drawSide();
  }

  markWrong(field, name) {
    const wrong = this.wrong.get(name);
    if (!wrong) return;
    field.value = wrong.text;
    field.title = wrong.reason;
    field.ariaInvalid = "true";
  }

  /** Back to the drawing; what is wrong in the field is given up. */
  leave(field, name, value) {
    field.value = value;
    this.taken(name);
    this.svg.focus();
  }

  /** What Python has for a field: of a node its arguments, after a line feed an option. */
  said(field) {
    return (field.startsWith("\n") ? this.graph.options[field.slice(1)] : this.node(field)?.arguments) ?? "";
  }

  /** Run with what the fields say: what cannot be read is refused, and not run with what was there before. */
  async run(begin) {
    const fields = [...this.inputs.querySelectorAll("input")];
    const taken = fields.map((field) => this.sendArguments(field.dataset.key.slice("input-".length), field.value));
    this.closed.clear();
    await Promise.all(taken);
    const [wrong] = this.wrong.values();
    if (!wrong) return this.send("run", { begin, times: Number(this.times.value) });
    this.refusal = wrong.reason;
    this.drawSaid();
  }

  // ------------------------------------------------------------ the side panel

  drawSide(force = false) {
    const node = this.only;
    const facts = {
      tab: this.tab, wrong: [...this.wrong], selected: [...this.selected], edge: this.edge, options: this.graph.options, code: this.tab === "code" ? this.graph.code : "",
      node: node && { ...node, x: 0, y: 0 }, state: node && this.status.nodes[node.id], latency: node && this.status.latency[node.id],
      run: this.status.run, over: this.status.state, runs: this.tab === "runs" ? this.status.runs : "", compared: this.compared, count: this.graph.nodes.length,
      flow: this.edge && this.flow(), switches: [...this.selected].map((id) => [this.node(id)?.gpu, this.node(id)?.batching, this.node(id)?.colocated]),
    };
    const shown = JSON.stringify(facts);
    if (this.sideShown === shown && !force) return;
    this.sideShown = shown;
    const tabs = element("div", { class: "cbd-tabs", role: "tablist" }, ...["properties", "code", "runs"].map((name) =>
      element("button", { type: "button", class: `cbd-tab ${this.tab === name ? "on" : ""}`, role: "tab", ariaSelected: String(this.tab === name), "data-testid": `tab-${name}`,
        onclick: () => this.openTab(name) }, { properties: node || this.edge || this.selected.size ? "Selected" : "DAG", code: "Code", runs: "Runs" }[name])));
    const body = this.tab === "code" ? this.codeTab() : this.tab === "runs" ? this.runsTab()
      : this.edge ? this.edgeTab() : node ? this.nodeTab(node) : this.selected.size ? this.manyTab() : this.dagTab();
    this.keepingFocus(this.side, () => this.side.replaceChildren(tabs, element("div", { class: "cbd-body" }, ...body)));
  }

  openTab(name) {
    this.tab = name;
    this.drawSide();
  }

  /** Redraw a part without taking the cursor out of a field in it. */
  keepingFocus(part, redraw) {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const key = active?.dataset.key;
    const typed = key && "value" in active ? [active.value, active.selectionStart, active.selectionEnd] : null;
    const scrolled = part.querySelector(".cbd-body")?.scrollTop ?? 0;
    redraw();
    const body = part.querySelector(".cbd-body");
    if (body) body.scrollTop = scrolled;
    const again = key && part.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!again) {
      if (active) this.svg.focus({ preventScroll: true });
      return;
    }
    if (typed && ["text", "number"].includes(again.type)) again.value = typed[0];
    again.focus({ preventScroll: true });
    if (typed?.[1] != null && again.setSelectionRange) again.setSelectionRange(typed[1], typed[2]);
  }

  heading(text, soft = "") {
    return element("div", { class: "cbd-heading" }, element("b", {}, text), soft ? element("span", { class: "cbd-soft" }, ` ${soft}`) : null);
  }

  field(label, control) {
    const why = control.ariaInvalid ? element("span", { class: "cbd-wrong" }, control.title) : null;
    return element("label", { class: "cbd-field" }, element("span", {}, label), control, why);
  }

  optionField(label, name, kind, more = {}) {
    const value = this.graph.options[name];
    const field = element("input", { type: kind, value: value ?? "", "data-key": `option-${name}`, "data-testid": `option-${name}`, ...more,
      onchange: () => this.sendOption(name, field.value),
      onblur: () => field.validity.badInput && this.notANumber(name), // a change is not told of then
      onkeydown: (event) => event.key === "Escape" && this.leave(field, `\n${name}`, value ?? "") });
    this.markWrong(field, `\n${name}`);
    return this.field(label, field);
  }

  async sendOption(name, value) {
    const { kind, reason } = await this.send("options", { [name]: value === "" ? null : Number(value) });
    return kind === "refused" ? this.notTaken(`\n${name}`, value, reason) : this.taken(`\n${name}`);
  }

  notANumber(name) {
    this.refusal = `${name} is a number`;
    this.notTaken(`\n${name}`, "", this.refusal);
    this.drawSaid();
  }

  dagTab() {
    const levels = [["", "as the runtime"], ["lww", "LWW: last writer wins"], ["dsrr", "DSRR: repeatable read"], ["sk", "SK: single-key causal"], ["mk", "MK: multi-key causal"], ["dsc", "DSC: session causal"], ["atomic", "atomic: all writes or none"]];
    const level = element("select", { "data-key": "option-consistency", "data-testid": "option-consistency", onchange: () => this.send("options", { consistency: level.value || null }) },
      ...levels.map(([value, label]) => element("option", { value, selected: (this.graph.options.consistency ?? "") === value }, label)));
    return [
      this.heading(this.graph.name, `${this.graph.nodes.length} functions`),
      this.field("consistency", level),
      this.optionField("retries", "retries", "number", { min: 0, max: 1000, step: 1, placeholder: "as its functions" }),
      this.optionField("timeout, s", "timeout", "number", { min: 0.001, step: "any", placeholder: "none" }),
      element("p", { class: "cbd-soft" }, "Select a node for its arguments and options, an arrow for its latency."),
    ];
  }

  nodeTab(node) {
    const state = this.status.nodes[node.id];
    return [
      this.heading(node.id, node.words),
      element("div", { class: "cbd-signature" }, `${node.id}${node.signature}`),
      ...node.marks.map(([level, text]) => element("div", { class: `cbd-wrong ${level}` }, `⚠ ${text}`)),
      state?.stale ? element("div", { class: "cbd-wrong warning", "data-testid": "stale" }, state.stale) : null,
      this.field("fixed arguments", this.argumentsField(node, `arguments-${node.id}`)),
      this.switches([node]),
      node.inputs.length > 1 ? this.inputOrder(node) : null,
      element("div", { class: "cbd-row" }, button("▶ Run from here", "Keep the results before it, run what follows (Shift+R)", () => this.run(node.id), { "data-testid": "run-here", disabled: !this.status.run || Boolean(this.graph.obstacle) })),
      this.latencyTable(this.status.latency[node.id], [["queue", "queue"], ["decode", "deserialise"], ["run", "run"]]),
      this.lastRun(node),
    ].filter(Boolean);
  }

  switches(nodes) {
    const names = [["colocated", "one host with the others so marked"], ["gpu", "on a GPU"], ["batching", "batching: lists of waiting requests"]];
    return element("div", { class: "cbd-switches" }, ...names.map(([option, label]) => {
      const box = element("input", { type: "checkbox", checked: nodes.every((node) => node[option]), "data-key": `switch-${option}`, "data-testid": `switch-${option}`,
        onchange: () => this.send("switch", { nodes: nodes.map(({ id }) => id), option, value: box.checked }) });
      return element("label", { class: "cbd-switch" }, box, label);
    }));
  }

  inputOrder(node) {
    const rows = node.inputs.map((source, at) => {
      const swapped = [...node.inputs];
      [swapped[at - 1], swapped[at]] = [swapped[at], swapped[at - 1]];
      const up = button("↑", "Earlier among the arguments", () => this.send("order", { target: node.id, sources: swapped }), { disabled: !at, "data-key": `up-${source}` });
      return element("li", {}, element("span", {}, source, node.names[at] ? element("span", { class: "cbd-soft" }, ` as ${node.names[at]}`) : null), up);
    });
    return element("div", {}, element("div", { class: "cbd-label-row" }, "inputs, in order"), element("ol", { class: "cbd-order" }, ...rows));
  }

  manyTab() {
    const nodes = [...this.selected].map((id) => this.node(id));
    return [
      this.heading(`${nodes.length} functions`),
      element("div", { class: "cbd-signature" }, nodes.slice(0, 12).map(({ id }) => id).join(", ") + (nodes.length > 12 ? ", …" : "")),
      this.switches(nodes),
      element("div", { class: "cbd-row" }, button("Duplicate", "Duplicate (D)", () => this.act("duplicate")), button("Delete", "Delete (Delete)", () => this.act("delete"))),
    ];
  }

  flow() {
    return this.status.edges.find(([source, target]) => source === this.edge[0] && target === this.edge[1])?.[2];
  }

  edgeTab() {
    const [source, target] = this.edge;
    const flow = this.flow();
    const node = this.node(target);
    const [from, to] = [this.status.nodes[source]?.executor, this.status.nodes[target]?.executor];
    const reads = this.status.latency[target];
    const store = reads && (reads.hits[0] || reads.misses[0]) ? `${target} read the store: ${reads.hits[0]} in the cache, ${reads.misses[0]} fetched` : "";
    return [
      this.heading(`${source} → ${target}`),
      element("div", { class: "cbd-soft" }, `input ${node.inputs.indexOf(source) + 1}${node.names[node.inputs.indexOf(source)] ? `, as ${node.names[node.inputs.indexOf(source)]}` : ""}`),
      this.latencyTable(flow, [["transfer", "transfer"], ["queue", "queue"], ["decode", "deserialise"]]) ?? element("p", { class: "cbd-soft" }, "Run the DAG to see how long it takes."),
      flow && to ? element("div", {}, `${size(flow.nbytes[0])}, ${from === to ? `stayed on ${to}` : `${from ? `from ${from} ` : ""}to ${to}`}`) : null,
      store ? element("div", { class: "cbd-soft" }, store) : null,
      element("div", { class: "cbd-row" }, button("Delete", "Delete the arrow (Delete)", () => this.act("delete"))),
    ].filter(Boolean);
  }

  latencyTable(latency, rows) {
    if (!latency) return null;
    return element("table", { class: "cbd-table", "data-testid": "latency" },
      element("tr", {}, ...["", "last", "p50", "p99"].map((text) => element("th", {}, text))),
      ...rows.map(([key, label]) => element("tr", {}, element("td", {}, label), ...latency[key].map((value) => element("td", {}, ms(value))))));
  }

  /** What the node did in the last run: asked for when it is looked at. */
  lastRun(node) {
    if (!this.status.run) return null;
    const place = element("div", { class: "cbd-last", "data-testid": "last-run" });
    const asked = JSON.stringify([node.id, this.status.run, this.status.nodes[node.id]]);
    if (this.details?.asked === asked) this.fillLast(place, this.details.answer);
    else {
      if (this.details?.answer?.node === node.id) this.fillLast(place, this.details.answer);
      this.session.send("details", { node: node.id }).then((answer) => {
        if (answer.kind !== "details") return;
        this.details = { asked, answer };
        const now = this.side.querySelector(".cbd-last");
        if (now && this.only?.id === node.id) this.fillLast(now, answer);
      });
    }
    return place;
  }

  fillLast(place, answer) {
    if (!answer.run) return;
    const printed = (name, text) => text ? element("details", { open: text.length < 400 }, element("summary", {}, name), element("pre", {}, text)) : null;
    const value = element("div", { class: "cbd-value", "data-testid": "value" });
    value.innerHTML = answer.value; // made by Python, from a preview that escapes what is text
    const store = answer.hits || answer.misses ? `store: ${answer.hits} in the cache, ${answer.misses} fetched` : "";
    const facts = [`run ${answer.run}: ${answer.state}`, answer.executor ? `on ${answer.executor}` : "", answer.nbytes ? size(answer.nbytes) : "", store];
    place.replaceChildren(...[
      element("div", { class: "cbd-label-row" }, facts.filter(Boolean).join(" · ")),
      answer.value ? value : null, printed("stdout", answer.stdout), printed("stderr", answer.stderr), printed("traceback", answer.traceback),
    ].filter(Boolean));
  }

  codeTab() {
    const { code } = this.graph;
    const copy = button("Copy", "Copy to the clipboard", () => this.copy(code), { "data-testid": "copy", "data-key": "copy" });
    const insert = button("Insert as cell", "Insert as a new cell below", () => this.insert(code), { "data-testid": "insert", "data-key": "insert" });
    return [element("pre", { class: "cbd-code", "data-testid": "code" }, code), element("div", { class: "cbd-row" }, copy, insert),
      element("p", { class: "cbd-soft" }, "This Python makes the DAG as it is drawn. Run it changed, and the drawing follows.")];
  }

  async copy(code) {
    try {
      await navigator.clipboard.writeText(code);
      this.hint = "copied";
    } catch {
      const area = element("textarea", { value: code });
      this.root.append(area);
      area.select();
      this.hint = document.execCommand("copy") ? "copied" : "the browser does not allow copying: select the text";
      area.remove();
    }
    this.drawSaid();
  }

  insert(code) {
    const notebook = this.session.model.widget_manager?.context?.model?.sharedModel;
    const cell = this.root.closest(".jp-Notebook-cell");
    if (typeof notebook?.insertCell !== "function" || !cell) {
      this.copy(code).then(() => {
        this.hint = "this front end does not let a widget insert cells: the code is copied, paste it into one";
        this.drawSaid();
      });
      return;
    }
    const index = cell.dataset.windowedListIndex ?? [...cell.parentElement.querySelectorAll(":scope > .jp-Notebook-cell")].indexOf(cell);
    notebook.insertCell(Number(index) + 1, { cell_type: "code", source: code, metadata: {} });
    this.hint = "inserted below";
    this.drawSaid();
  }

  runsTab() {
    const runs = [...this.status.runs].reverse();
    if (!runs.length) return [element("p", { class: "cbd-soft" }, "No runs yet.")];
    const rows = runs.map((run) => {
      const box = element("input", { type: "checkbox", checked: this.compared.includes(run.run), "data-key": `run-${run.run}`, "data-testid": `compare-${run.run}`,
        ariaLabel: `Compare run ${run.run}`, onchange: () => this.compareWith(run.run, box.checked) });
      const what = run.state === "done" ? run.took : run.state;
      return element("tr", { class: run.state, title: run.reason }, element("td", {}, box), element("td", {}, `${SYMBOLS[run.state]} ${run.run}`),
        element("td", {}, run.at, run.begin ? element("div", { class: "cbd-soft" }, `from ${short(run.begin, 16)}`) : null), element("td", {}, what));
    });
    const comparison = element("div", { class: "cbd-comparison", "data-testid": "comparison" });
    if (this.compared.length === 2) this.compare(comparison);
    else comparison.append(element("p", { class: "cbd-soft" }, "Tick two runs to compare them."));
    return [element("table", { class: "cbd-table cbd-runs" }, ...rows), comparison];
  }

  compareWith(run, on) {
    this.compared = [...this.compared.filter((other) => other !== run), ...(on ? [run] : [])].slice(-2);
    this.drawSide();
  }

  async compare(place) {
    const [a, b] = [...this.compared].sort((x, y) => x - y);
    const answer = await this.session.send("compare", { a, b });
    if (answer.kind !== "comparison") {
      place.replaceChildren(element("p", { class: "cbd-soft" }, answer.reason ?? ""));
      return;
    }
    const version = (of) => (of ? ` v${of}` : "");
    const cell = (row, at) => element("td", {}, row.ms[at] == null ? row.states[at] || "–" : ms(row.ms[at]),
      row.versions[0] === row.versions[1] ? null : element("span", { class: "cbd-soft" }, version(row.versions[at])));
    const change = ([x, y]) => (x == null || y == null || !x ? "" : `${y >= x ? "+" : "−"}${Math.abs(Math.round((100 * (y - x)) / x))} %`);
    const [first, second] = answer.runs;
    place.replaceChildren(element("table", { class: "cbd-table" },
      element("tr", {}, ...["", `run ${a}`, `run ${b}`, ""].map((text) => element("th", {}, text))),
      element("tr", { class: "total" }, element("td", {}, "whole"), element("td", {}, first.took || first.state), element("td", {}, second.took || second.state), element("td", {}, first.took && second.took ? change([first.ms, second.ms]) : "")),
      ...answer.rows.map((row) => element("tr", {}, element("td", { title: row.node }, short(row.node, 14)), cell(row, 0), cell(row, 1), element("td", {}, change(row.ms))))));
  }

  dispose() {
    this.session.listeners.delete(this.listener);
    this.sizes.disconnect();
    this.root.remove();
  }
}

// ---------------------------------------------------------------- finding its place in the page

const PLACE = "data-cloudburst-dag";
const registry = (globalThis.__cloudburst_dags ??= { models: new Map(), views: new WeakMap(), watching: null });

/** Put an editor into each place that the outputs have for this model, instead of the picture in it.

An output that was renewed has a new place: the editor that was in it before moves there as it is. */
function settle(session) {
  const places = [...document.querySelectorAll(`[${PLACE}="${CSS.escape(session.place)}"]`)];
  const free = places.filter((place) => !registry.views.has(place));
  if (!free.length) return;
  const homeless = session.views.filter((view) => !view.root.isConnected);
  for (const place of free) {
    const same = homeless.findIndex((view) => view.host === place.parentElement);
    const view = homeless.length ? homeless.splice(Math.max(0, same), 1)[0] : new View(session);
    if (!session.views.includes(view)) session.views.push(view);
    registry.views.set(place, view);
    view.host = place.parentElement;
    for (const child of place.children) child.style.display = "none";
    place.append(view.root);
    view.back();
    if (view.unseen) view.begin();
  }
}

/** Take the editors away again: the pictures that they stood for are seen. */
function vacate(session) {
  registry.models.delete(session.place);
  for (const view of session.views) {
    for (const child of view.root.parentElement?.children ?? []) child.style.display = "";
    view.dispose();
  }
}

/** Have something done once the kernel is gone, which says nothing any more; what is returned forgets that. */
function onceGone(model, act) {
  const session = model.widget_manager?.context?.sessionContext;
  const look = (_, status) => GONE.has(status) && act();
  model.on("comm_live_update", act);
  session?.statusChanged.connect(look);
  session?.kernelChanged.connect(act);
  return () => {
    model.off("comm_live_update", act);
    session?.statusChanged.disconnect(look);
    session?.kernelChanged.disconnect(act);
  };
}

function watch() {
  if (registry.watching || typeof document === "undefined") return;
  registry.watching = new MutationObserver(() => {
    for (const session of registry.models.values()) settle(session);
  });
  registry.watching.observe(document.body, { childList: true, subtree: true });
  document.addEventListener("focusin", (event) => {
    for (const session of registry.models.values()) {
      for (const view of session.views) if (!view.root.contains(event.target)) view.focused = null;
    }
  });
}

export default {
  initialize({ model }) {
    const session = new Session(model);
    session.views = [];
    session.place = model.get("place");
    registry.models.set(session.place, session);
    watch();
    settle(session);
    const end = () => {
      forget();
      vacate(session);
    };
    const forget = onceGone(model, end);
    return end;
  },
  render({ model, el }) {
    const session = new Session(model);
    const view = new View(session);
    el.append(view.root);
    requestAnimationFrame(() => view.begin());
    return () => view.dispose();
  },
};
