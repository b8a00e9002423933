// The live display in a page without a browser.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import live from "../../cloudburst_nb/widgets/static/live.js";
import { Model, page } from "./dom.mjs";

const CANCEL = { op: "cancel", label: "Cancel", title: "Give it up", choices: [] };
const BACK = { op: "rollback", label: "Roll back to", title: "Earlier", choices: ["v2", "v1"] };
let there;

beforeEach(() => {
  there = page();
});

function model(more = {}) {
  return new Model({ place: "p1", html: "<b>waiting</b>", actions: [], note: { serial: 0, text: "" }, ...more });
}

function place(inner = "<b>saved</b>") {
  const el = document.createElement("div");
  el.setAttribute("data-cloudburst-live", "p1");
  el.innerHTML = inner;
  there.body.appendChild(el);
  return el;
}

function watches(made) {
  return made.sent.filter(({ op }) => op === "watch").length;
}

test("it takes its place over, also one that comes later, and no other", () => {
  const other = document.createElement("div");
  other.setAttribute("data-cloudburst-live", "p2");
  other.textContent = "another";
  there.body.appendChild(other);
  const made = model();
  live.initialize({ model: made });
  const el = place();
  assert.equal(el.textContent, "saved");
  there.changed();
  assert.equal(el.textContent, "waiting");
  assert.equal(other.textContent, "another");
});

test("it follows what Python says and keeps what is open", () => {
  const el = place();
  const made = model({ html: "<details><summary>stdout (1 line)</summary><pre>a</pre></details>" });
  live.initialize({ model: made });
  const details = el.querySelector("details");
  details.setAttribute("open", "");
  made.become("html", "<details><summary>stdout (2 lines)</summary><pre>a b</pre></details><i>new</i>");
  assert.equal(el.querySelector("details"), details);
  assert.ok(details.hasAttribute("open"));
  assert.equal(details.textContent, "stdout (2 lines)a b");
  made.become("html", "<details><summary>stdout (2 lines)</summary></details>");
  assert.equal(details.textContent, "stdout (2 lines)");
  assert.equal(el.querySelector("i"), null);
  made.become("html", '<b style="color:red">done</b>');
  assert.equal(el.querySelector("b").getAttribute("style"), "color:red");
  made.become("html", "<b>done</b>");
  assert.equal(el.querySelector("b").hasAttribute("style"), false);
});

test("a button sends what it is for, once, until Python has answered", () => {
  const el = place();
  const made = model({ actions: [CANCEL] });
  live.initialize({ model: made });
  el.querySelector("button").click();
  el.querySelector("button").click();
  assert.deepEqual(made.sent.filter(({ op }) => op === "cancel"), [{ op: "cancel", choice: null }]);
  made.become("note", { serial: 1, text: "it had an outcome before" });
  assert.equal(el.querySelector('span[role="status"]').textContent, "it had an outcome before");
  assert.equal(el.querySelector("button").disabled, false);
  made.become("actions", []);
  assert.equal(el.querySelector("button"), null);
});

test("a choice goes along with its button", () => {
  const el = place();
  const made = model({ actions: [BACK] });
  live.initialize({ model: made });
  const select = el.querySelector("select");
  assert.deepEqual(select.children.map((option) => option.textContent), ["v2", "v1"]);
  select.value = "v1";
  el.querySelector("button").click();
  assert.deepEqual(made.sent.at(-1), { op: "rollback", choice: "v1" });
});

test("Python is told that somebody watches only while somebody does", () => {
  const made = model();
  live.initialize({ model: made });
  there.beat();
  assert.equal(watches(made), 0);
  const el = place();
  there.changed();
  assert.equal(watches(made), 1);
  there.beat();
  assert.equal(watches(made), 2);
  el.boxes = 0; // scrolled away
  there.beat();
  document.hidden = true;
  el.boxes = 1;
  there.beat();
  assert.equal(watches(made), 2);
  document.hidden = false;
  document.fire("visibilitychange");
  assert.equal(watches(made), 3);
  el.remove();
  there.changed();
  there.beat();
  assert.equal(watches(made), 3);
});

test("at its end the last state stays, without buttons, and nothing goes on", () => {
  const el = place();
  const made = model({ actions: [CANCEL] });
  const end = live.initialize({ model: made });
  end();
  assert.equal(el.textContent, "waiting");
  assert.equal(el.querySelector("button"), null);
  assert.equal(there.timers.size, 0);
  made.become("html", "<b>later</b>");
  assert.equal(el.textContent, "waiting");
});

/** What JupyterLab tells of a notebook's kernel. */
function session() {
  const signal = () => {
    const slots = new Set();
    return { slots, connect: (slot) => slots.add(slot), disconnect: (slot) => slots.delete(slot) };
  };
  return { statusChanged: signal(), kernelChanged: signal() };
}

test("once its kernel is gone it says so, and asks for nothing any more", () => {
  for (const happens of [
    (made) => made.fire("comm_live_update"),
    (made, { statusChanged }) => statusChanged.slots.forEach((slot) => slot(null, "autorestarting")),
    (made, { kernelChanged }) => kernelChanged.slots.forEach((slot) => slot()),
  ]) {
    there = page();
    const el = place();
    const made = model({ actions: [CANCEL], html: '<b role="button" data-op="choose">k</b><input data-op="words">' });
    const told = session();
    made.widget_manager = { context: { sessionContext: told } };
    live.initialize({ model: made });
    const key = el.querySelector("b");
    told.statusChanged.slots.forEach((slot) => slot(null, "busy"));
    const planned = [];
    globalThis.requestAnimationFrame = (callback) => planned.push(callback);
    there.changed();
    assert.ok(el.querySelector("button"));
    happens(made, told);
    assert.equal(el.querySelector("button"), null);
    assert.ok(el.textContent.endsWith("when its kernel ended."));
    assert.ok(el.querySelector("input").disabled);
    const count = made.sent.length;
    key.parentNode.fire("click", { target: key });
    planned.forEach((callback) => callback());
    there.beat();
    assert.equal(made.sent.length, count);
    assert.deepEqual([there.timers.size, told.statusChanged.slots.size, told.kernelChanged.slots.size], [0, 0, 0]);
  }
});

test("a field follows what Python says unless somebody is at it", () => {
  const el = place();
  const made = model({ html: '<input value="3">' });
  live.initialize({ model: made });
  const input = el.querySelector("input");
  input.value = "1"; // slid by hand
  document.activeElement = input;
  made.become("html", '<input value="2">');
  assert.equal(input.value, "1");
  document.activeElement = null;
  made.become("html", '<input value="5">');
  assert.equal(input.value, "5");
});

test("a front end may also open it where it wants", () => {
  const el = document.createElement("div");
  const made = model();
  const end = live.render({ model: made, el });
  made.become("html", "<b>running</b>");
  assert.equal(el.textContent, "running");
  end();
});

test("what the HTML asks for is sent: a press, a key, and what is typed once it rests", async () => {
  const el = place();
  const made = model({
    html:
      '<span role="button" data-op="choose" data-value="a &lt;b"><code>a</code></span>' +
      '<input data-op="words"><p>nothing</p>',
  });
  live.initialize({ model: made });
  const asked = () => made.sent.filter(({ op }) => op !== "watch");
  const inner = el.querySelector("code");
  const shown = inner.parentNode.parentNode;
  shown.fire("click", { target: inner });
  assert.equal(asked().length, 1);
  assert.equal(asked()[0].op, "choose");
  let stopped = 0;
  const key = (name) => ({ target: inner, key: name, stopPropagation: () => (stopped += 1) });
  shown.fire("keydown", key("Enter"));
  shown.fire("keydown", key("a"));
  assert.equal(asked().length, 2);
  assert.equal(stopped, 2);
  shown.fire("click", { target: el.querySelector("p") });
  const input = el.querySelector("input");
  shown.fire("click", { target: input });
  for (const typed of ["u", "us", "user"]) {
    input.value = typed;
    shown.fire("input", { target: input });
  }
  assert.equal(asked().length, 2);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(asked().slice(2), [{ op: "words", choice: "user" }]);
});
