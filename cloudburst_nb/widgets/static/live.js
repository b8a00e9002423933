// A live display: shows the HTML that Python says, and tells Python what was pressed.
//
// Law: nothing is decided here and nothing is requested. `initialize` takes over the marked place in a cell's
// output, wherever and whenever that is shown; `render` is for front ends that open a widget where they want it.

const BEAT_MS = 10_000;
const TYPING_MS = 150;
const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);
const LAST_WORDS = "This is how it was when its kernel ended.";

/** Make `old` like `fresh` with as few changes as may be: what is open, selected or scrolled stays so. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
}

function morphAttributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) {
    if (name === "open" || old.getAttribute(name) === value) continue;
    old.setAttribute(name, value);
    // What somebody typed or slid hides the attribute; it stays only while they are at it.
    if (name === "value" && old !== document.activeElement) old.value = value;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function morphChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  const there = [...old.childNodes];
  wanted.forEach((child, index) => {
    if (index < there.length) morph(there[index], child);
    else old.appendChild(child);
  });
  there.slice(wanted.length).forEach((child) => child.remove());
}

/** Elements that say with `data-op` what they ask for: what happens to them is sent to Python. */
const ASKING = {
  click: (view, event) => {
    const el = asking(event.target, (op) => op.getAttribute("role") === "button");
    if (el) view.ask(el.getAttribute("data-op"), el.getAttribute("data-value"));
  },
  keydown: (view, event) => {
    // JupyterLab has keys of its own, which are not meant while somebody types here.
    event.stopPropagation();
    if (event.key === "Enter" || event.key === " ") ASKING.click(view, event);
  },
  input: (view, event) => {
    const el = asking(event.target, () => true);
    if (el) view.askSoon(el.getAttribute("data-op"), el);
  },
};

function asking(el, fits) {
  for (; el && el.getAttribute; el = el.parentNode) {
    if (el.getAttribute("data-op") !== null) return fits(el) ? el : null;
  }
  return null;
}

/** The display in one element. */
class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.shown = document.createElement("div");
    this.bar = document.createElement("div");
    this.bar.className = "cloudburst-bar";
    el.classList.add("cloudburst-live");
    el.replaceChildren(this.shown, this.bar);
    for (const [name, handler] of Object.entries(ASKING)) {
      this.shown.addEventListener(name, (event) => handler(this, event));
    }
    this.pressed = false;
    this.show();
    this.buttons();
  }

  show() {
    const fresh = document.createElement("div");
    fresh.innerHTML = this.model.get("html");
    morph(this.shown, fresh);
  }

  buttons() {
    const note = document.createElement("span");
    note.className = "cloudburst-note";
    note.setAttribute("role", "status");
    note.textContent = this.model.get("note").text;
    const parts = this.model.get("actions").flatMap((action) => this.button(action));
    this.bar.replaceChildren(...parts, note);
  }

  button(action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.title = action.title;
    button.disabled = this.pressed;
    button.dataset.testid = `cloudburst-${action.op}`;
    const choice = action.choices.length ? this.choice(action) : null;
    button.addEventListener("click", () => {
      this.pressed = button.disabled = true;
      this.model.send({ op: action.op, choice: choice ? choice.value : null });
    });
    return choice ? [button, choice] : [button];
  }

  choice(action) {
    const select = document.createElement("select");
    select.setAttribute("aria-label", action.title);
    for (const text of action.choices) {
      const option = document.createElement("option");
      option.value = option.textContent = text;
      select.appendChild(option);
    }
    return select;
  }

  ask(op, value) {
    if (!this.over) this.model.send({ op, choice: value });
  }

  /** What is typed or slid, once it rests for a moment; Python answers to the last. */
  askSoon(op, el) {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.ask(op, el.value), TYPING_MS);
  }

  answered() {
    this.pressed = false;
    this.buttons();
  }

  watched() {
    return this.el.isConnected && !document.hidden && this.el.getClientRects().length > 0;
  }

  ended(words) {
    this.over = true;
    for (const input of this.shown.querySelectorAll("input")) input.disabled = true;
    this.bar.className = "cloudburst-bar cloudburst-note";
    this.bar.textContent = words;
    if (!words) this.bar.remove();
  }
}

/** Keep views of a model current, and let Python know while somebody looks at one. */
class Views {
  constructor(model) {
    this.model = model;
    this.all = new Map();
    this.handlers = {
      "change:html": () => this.each((view) => view.show()),
      "change:actions": () => this.each((view) => view.buttons()),
      "change:note": () => this.each((view) => view.answered()),
    };
    for (const [name, handler] of Object.entries(this.handlers)) model.on(name, handler);
    this.beat = () => this.watched() && model.send({ op: "watch" });
    this.timer = setInterval(this.beat, BEAT_MS);
    document.addEventListener("visibilitychange", this.beat);
    this.seen = globalThis.IntersectionObserver && new IntersectionObserver(this.beat);
  }

  each(what) {
    for (const view of this.all.values()) what(view);
  }

  watched() {
    return [...this.all.values()].some((view) => view.watched());
  }

  add(el) {
    if (this.over || this.all.has(el)) return; // a look may have been planned before the end
    this.all.set(el, new View(this.model, el));
    this.seen?.observe(el);
    this.beat();
  }

  drop(el) {
    this.seen?.unobserve(el);
    this.all.delete(el);
  }

  end(words = "") {
    this.over = true;
    for (const [name, handler] of Object.entries(this.handlers)) this.model.off(name, handler);
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.beat);
    this.seen?.disconnect();
    this.each((view) => view.ended(words));
    this.all.clear();
  }
}

/** Have something done once the kernel is gone, which says nothing any more; what is returned forgets that. */
export function onceGone(model, act) {
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

/** Take over the marked places, those there are and those that come: cells are shown when scrolled to. */
function initialize({ model }) {
  const views = new Views(model);
  const mark = `[data-cloudburst-live="${model.get("place")}"]`;
  let planned = false;
  const look = () => {
    planned = false;
    for (const el of [...views.all.keys()]) if (!el.isConnected) views.drop(el);
    for (const el of document.querySelectorAll(mark)) views.add(el);
  };
  const observer = new MutationObserver(() => {
    if (!planned) requestAnimationFrame(look);
    planned = true;
  });
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  const end = (words) => {
    forget();
    observer.disconnect();
    views.end(words);
  };
  const forget = onceGone(model, () => end(LAST_WORDS));
  return () => end("");
}

function render({ model, el }) {
  const views = new Views(model);
  views.add(el);
  const forget = onceGone(model, () => views.end(LAST_WORDS));
  return () => {
    forget();
    views.end();
  };
}

export default { initialize, render };
