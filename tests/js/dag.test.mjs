// The parts of the DAG editor that need no page: geometry, words, keys, and the talk with Python.
// Run by tests/test_javascript.py; by hand: node --test tests/js/dag.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";
import * as dag from "../../cloudburst_nb/widgets/static/dag.js";

const box = (id, x, y, more = {}) => ({ id, x, y, w: 100, h: 42, ports: 1, ...more });

/** What a widget's model is to the editor. */
class Model {
  constructor(state = {}) {
    this.state = state;
    this.sent = [];
    this.handlers = {};
  }
  get(name) {
    return this.state[name];
  }
  set() {
    assert.fail("a front end writes no trait");
  }
  on(event, handler) {
    (this.handlers[event] ??= []).push(handler);
  }
  send(message) {
    this.sent.push(message);
  }
  tell(message) {
    this.handlers["msg:custom"].forEach((handler) => handler(message));
  }
  change(name, value) {
    this.state[name] = value;
    this.handlers[`change:${name}`].forEach((handler) => handler());
  }
}

// ---------------------------------------------------------------- geometry

test("ports stand symmetrically within the node, in order", () => {
  for (const ports of [1, 2, 3, 12]) {
    const heights = Array.from({ length: ports }, (_, port) => dag.portOffset(box("a", 0, 0, { ports }), port));
    assert.deepEqual(heights, [...heights].sort((a, b) => a - b));
    assert.ok(Math.abs(heights[0] + heights.at(-1)) < 1e-9);
    assert.ok(heights.at(-1) <= 21);
  }
});

test("a path begins and ends where the arrow does", () => {
  assert.match(dag.curve([0, 1], [100, 50]), /^M0,1C.* 100,50$/);
  const path = dag.through([[0, 0], [50, 20], [90, 20], [100, 50]]);
  assert.match(path, /^M0,0C/);
  assert.equal(path.match(/C/g).length, 3);
  assert.ok(path.endsWith(" 100,50"));
});

test("a node at the edge comes into the window whole, and one within stays where it is", () => {
  const view = { scale: 0.8, x: 10, y: -5 };
  for (const [x, y] of [[-80, 20], [700, 100], [300, -90], [300, 900], [300, 200]]) {
    const node = box("a", x, y);
    const [dx, dy] = dag.shortfall(node, view, 500, 400);
    const [left, right] = [(x - 50) * 0.8 + 10 + dx, (x + 50) * 0.8 + 10 + dx];
    const [top, bottom] = [(y - 21) * 0.8 - 5 + dy, (y + 21) * 0.8 - 5 + dy];
    assert.ok(left > 0 && right < 500 && top > 0 && bottom < 400);
    if (x === 300 && y === 200) assert.deepEqual([dx, dy], [0, 0]);
  }
});

test("what is fitted is all seen, and never larger than life", () => {
  for (const nodes of [[box("a", 0, 0)], [box("a", -5000, 3), box("b", 9000, 800)]]) {
    const view = dag.fitted(dag.bounds(nodes), 600, 400);
    assert.ok(view.scale <= 1);
    for (const { x, y, w, h } of nodes) {
      assert.ok((x - w / 2) * view.scale + view.x >= -0.001);
      assert.ok((x + w / 2) * view.scale + view.x <= 600.001);
      assert.ok((y - h / 2) * view.scale + view.y >= -0.001);
    }
  }
});

test("a box beside a node is within the window and does not cover the node, wherever there is room", () => {
  const view = { scale: 0.8, x: 10, y: -5 };
  for (const [x, y] of [[300, 60], [300, 430], [60, 430], [600, 250], [100, 250], [690, 30]]) {
    const node = box("a", x, y);
    for (const [wide, high] of [[300, 100], [200, 300]]) {
      const [left, top] = dag.beside(node, view, [wide, high], [620, 400]);
      assert.ok(left >= 4 && left + wide <= 616 && top >= 4 && top + high <= 396, `${[x, y, left, top]}`);
      const corners = [x - 50, x + 50].map((at) => at * 0.8 + 10).concat([y - 21, y + 21].map((at) => at * 0.8 - 5));
      const covers = left < corners[1] && left + wide > corners[0] && top < corners[3] && top + high > corners[2];
      assert.ok(!covers, `${[x, y, left, top]}`);
    }
  }
  const [left, top] = dag.beside(box("a", 300, 200), view, [900, 900], [620, 400]);
  assert.deepEqual([left, top], [4, 4]); // there is none
});

test("a drawing that would be too small to read is seen where it begins", () => {
  const nodes = Array.from({ length: 100 }, (_, at) => box(`n${at}`, 200 * at, 7 * (at % 3)));
  const view = dag.begun(nodes, 600, 400);
  assert.ok(view.scale > 0.4);
  const [left, middle] = [(nodes[0].x - 50) * view.scale + view.x, nodes[0].y * view.scale + view.y];
  assert.ok(left >= 0 && left < 100 && middle === 200);
  assert.deepEqual(dag.begun(nodes.slice(0, 2), 600, 400), dag.fitted(dag.bounds(nodes.slice(0, 2)), 600, 400));
});

test("the point under the pointer stays when zooming, within limits", () => {
  const view = { scale: 1, x: 10, y: 20 };
  const near = dag.zoomed(view, 2, [110, 220]);
  assert.equal((110 - near.x) / near.scale, 100);
  assert.equal((220 - near.y) / near.scale, 200);
  assert.equal(dag.zoomed(view, 1e9, [0, 0]).scale, 2.5);
  assert.equal(dag.zoomed(view, 1e-9, [0, 0]).scale, 0.002);
});

test("a rectangle selects what it touches", () => {
  const nodes = [box("a", 0, 0), box("b", 300, 0), box("c", 300, 300)];
  assert.deepEqual(dag.within(nodes, { x: 260, y: -10, w: 10, h: 20 }), ["b"]);
  assert.deepEqual(dag.within(nodes, { x: -500, y: -500, w: 1500, h: 1500 }), ["a", "b", "c"]);
});

test("an arrow key goes to the nearest node in its direction", () => {
  const nodes = [box("a", 0, 0), box("b", 150, 10), box("c", 150, 200), box("d", -150, 0)];
  assert.equal(dag.neighbour(nodes, nodes[0], "ArrowRight").id, "b");
  assert.equal(dag.neighbour(nodes, nodes[0], "ArrowLeft").id, "d");
  assert.equal(dag.neighbour(nodes, nodes[1], "ArrowDown").id, "c");
  assert.equal(dag.neighbour(nodes, nodes[1], "ArrowUp").id, "a");
  assert.equal(dag.neighbour(nodes, nodes[3], "ArrowLeft"), null);
});

// ---------------------------------------------------------------- words and keys

test("times and sizes have fitting units", () => {
  assert.deepEqual([0.0053, 0.44, 12.34, 512, 1012, 75000, null].map(dag.ms), ["5.3 µs", "0.44 ms", "12 ms", "512 ms", "1 s", "1 min 15 s", "–"]);
  assert.deepEqual([5, 999.6, 1234567].map(dag.size), ["5 B", "1 kB", "1.2 MB"]);
});

test("more bytes are drawn thicker, within reason", () => {
  const widths = [0, 10, 1e3, 1e6, 1e9, 1e15].map(dag.thickness);
  assert.deepEqual(widths, [...widths].sort((a, b) => a - b));
  assert.ok(widths[0] >= 1 && widths.at(-1) <= 9);
});

test("a search finds beginnings first, then parts, then letters in order", () => {
  const functions = ["total", "load_total", "to_all", "scale"].map((name) => ({ name }));
  assert.deepEqual(dag.search(functions, "total").map(({ name }) => name), ["total", "load_total"]);
  assert.deepEqual(dag.search(functions, "ToA").map(({ name }) => name), ["load_total", "to_all", "total"]);
  assert.equal(dag.search(functions, "zebra").length, 0);
  assert.equal(dag.search(functions, "").length, 4);
});

test("keys mean what the list of keys says", () => {
  const pressed = (key, more = {}) => dag.action({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
  assert.equal(pressed("z", { ctrlKey: true }), "undo");
  assert.equal(pressed("Z", { metaKey: true, shiftKey: true }), "redo");
  assert.equal(pressed("Backspace"), "delete");
  assert.equal(pressed("R", { shiftKey: true }), "runHere");
  assert.equal(pressed("ArrowUp", { altKey: true }), "nudge");
  assert.equal(pressed("ArrowUp", { shiftKey: true }), "extend");
  assert.equal(pressed("c", { ctrlKey: true }), null); // the page's own
  assert.equal(pressed("q"), null);
});

// ---------------------------------------------------------------- the talk with Python

test("an operation is sent with its number and the revision it was made for", async () => {
  const model = new Model();
  const session = new dag.Session(model);
  session.rev = 7;
  const answer = session.send("connect", { source: "a", target: "b" });
  const [{ id, ...message }] = model.sent;
  assert.deepEqual(message, { op: "connect", rev: 7, source: "a", target: "b" });
  model.tell({ kind: "refused", id, reason: "a cycle: b → a → b" });
  assert.equal((await answer).reason, "a cycle: b → a → b");
});

test("an operation's own fields do not replace what it is", () => {
  const model = new Model();
  new dag.Session(model).send("run", { op: "delete", id: 0 });
  assert.equal(model.sent[0].op, "run");
  assert.notEqual(model.sent[0].id, 0);
});

test("what was asked for is the answer, and not the word that it was done", async () => {
  const model = new Model();
  const session = new dag.Session(model);
  const answer = session.send("targets", { source: "a" });
  const [{ id }] = model.sent;
  model.tell({ kind: "targets", id, refused: { a: "itself" } });
  model.tell({ kind: "done", id });
  assert.deepEqual((await answer).refused, { a: "itself" });
});

test("answers to other front ends, and to nobody, are not taken", async () => {
  const model = new Model();
  const [one, other] = [new dag.Session(model), new dag.Session(model)];
  const answers = [one.send("undo"), other.send("undo")];
  assert.notEqual(model.sent[0].id, model.sent[1].id);
  model.tell({ kind: "done", id: model.sent[1].id, rev: 2 });
  model.tell({ kind: "done", id: "nobody-1" });
  model.tell(undefined);
  assert.equal((await answers[1]).rev, 2);
  assert.equal(await Promise.race([answers[0], Promise.resolve("waits")]), "waits");
});

test("changes of the traits are told by name, and an empty model has all that is read of it", () => {
  const model = new Model();
  const session = new dag.Session(model);
  const told = [];
  session.listeners.add((name) => told.push(name));
  assert.deepEqual([session.graph.nodes, session.status.runs, session.palette], [[], [], []]);
  model.change("graph", JSON.stringify({ nodes: [{ id: "a", x: 0, y: 0 }], rev: 1 }));
  model.change("palette", JSON.stringify([{ name: "a" }]));
  assert.deepEqual(told, ["graph", "palette"]);
  assert.deepEqual([session.graph.nodes[0].id, session.graph.nodes[0].inputs], ["a", []]); // what is empty is left out
});
