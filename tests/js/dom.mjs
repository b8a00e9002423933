// As much of a page as the widgets use, for tests without a browser: elements, their attributes and text, HTML
// that Python's displays are made of, listeners, and a model that remembers what was sent.
//
// Nothing happens by itself: a test fires events, changes of the document and timers.

const VOID = new Set(["img", "br", "hr", "input"]);

class Node {
  constructor(nodeType, nodeName) {
    Object.assign(this, { nodeType, nodeName, parentNode: null, childNodes: [] });
  }
  get children() {
    return this.childNodes.filter((child) => child.nodeType === 1);
  }
  get isConnected() {
    return this === document.body || !!this.parentNode?.isConnected;
  }
  get textContent() {
    return this.childNodes.map((child) => child.textContent).join("");
  }
  set textContent(text) {
    this.replaceChildren(...(text === "" ? [] : [new Text(text)]));
  }
  appendChild(child) {
    child.remove();
    child.parentNode = this;
    this.childNodes.push(child);
    return child;
  }
  append(...children) {
    for (const child of children) this.appendChild(typeof child === "string" ? new Text(child) : child);
  }
  replaceChildren(...children) {
    for (const child of [...this.childNodes]) child.remove();
    this.append(...children);
  }
  remove() {
    const siblings = this.parentNode?.childNodes;
    if (siblings) siblings.splice(siblings.indexOf(this), 1);
    this.parentNode = null;
  }
  replaceWith(other) {
    const parent = this.parentNode;
    other.remove();
    parent.childNodes.splice(parent.childNodes.indexOf(this), 1, other);
    other.parentNode = parent;
    this.parentNode = null;
  }
}

class Text extends Node {
  constructor(data) {
    super(3, "#text");
    this.data = data;
  }
  get textContent() {
    return this.data;
  }
}

class Element extends Node {
  constructor(tag) {
    super(1, tag.toUpperCase());
    this.map = new Map();
    this.listeners = new Map();
    this.dataset = {};
    this.classList = { add: (name) => this.setAttribute("class", name) };
    this.boxes = 1;
  }
  get attributes() {
    return [...this.map].map(([name, value]) => ({ name, value }));
  }
  getAttribute(name) {
    return this.map.has(name) ? this.map.get(name) : null;
  }
  setAttribute(name, value) {
    this.map.set(name, String(value));
  }
  hasAttribute(name) {
    return this.map.has(name);
  }
  removeAttribute(name) {
    this.map.delete(name);
  }
  addEventListener(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  }
  removeEventListener(name, listener) {
    this.listeners.set(name, (this.listeners.get(name) ?? []).filter((each) => each !== listener));
  }
  fire(name, event = {}) {
    for (const listener of this.listeners.get(name) ?? []) listener({ target: this, ...event });
  }
  click() {
    if (!this.disabled) this.fire("click");
  }
  getClientRects() {
    return { length: this.boxes };
  }
  all() {
    return this.children.flatMap((child) => [child, ...child.all()]);
  }
  querySelectorAll(selector) {
    const [, tag, name, value] = /^([a-z]*)(?:\[([a-z-]+)="(.*)"\])?$/.exec(selector);
    return this.all().filter(
      (each) => (!tag || each.nodeName === tag.toUpperCase()) && (!name || each.getAttribute(name) === value),
    );
  }
  querySelector(selector) {
    return this.querySelectorAll(selector)[0] ?? null;
  }
  set innerHTML(html) {
    this.replaceChildren();
    let open = this;
    for (const [, close, tag, attributes, text] of html.matchAll(/<(\/?)([a-z0-9]+)([^>]*)>|([^<]+)/g)) {
      if (text !== undefined) open.append(text);
      else if (close) open = open.parentNode;
      else {
        const made = open.appendChild(new Element(tag));
        for (const [, name, value] of attributes.matchAll(/([a-z-]+)(?:="([^"]*)")?/g)) {
          made.setAttribute(name, value ?? "");
        }
        if (!VOID.has(tag)) open = made;
      }
    }
  }
}

/** A fresh page in the global scope; `changed()` tells the observers, `beat()` lets the timers fire. */
export function page() {
  const observers = new Set();
  const timers = new Map();
  const body = new Element("body");
  globalThis.document = Object.assign(new Element("html"), {
    body,
    hidden: false,
    createElement: (tag) => new Element(tag),
    querySelectorAll: (selector) => body.querySelectorAll(selector),
  });
  globalThis.requestAnimationFrame = (callback) => callback();
  globalThis.setInterval = (callback) => timers.set(callback, true) && callback;
  globalThis.clearInterval = (timer) => timers.delete(timer);
  globalThis.MutationObserver = class {
    constructor(callback) {
      this.callback = callback;
    }
    observe() {
      observers.add(this.callback);
    }
    disconnect() {
      observers.delete(this.callback);
    }
  };
  return {
    body,
    timers,
    changed: () => [...observers].forEach((callback) => callback()),
    beat: () => [...timers.keys()].forEach((callback) => callback()),
  };
}

/** What anywidget hands a widget: state, and a list of what was sent. */
export class Model {
  constructor(state) {
    this.state = state;
    this.sent = [];
    this.handlers = new Map();
  }
  get(name) {
    return this.state[name];
  }
  send(message) {
    this.sent.push(message);
  }
  on(name, handler) {
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
  }
  off(name, handler) {
    this.handlers.set(name, (this.handlers.get(name) ?? []).filter((each) => each !== handler));
  }
  /** Python says something new. */
  become(name, value) {
    this.state[name] = value;
    this.fire(`change:${name}`);
  }
  fire(event) {
    for (const handler of this.handlers.get(event) ?? []) handler();
  }
}
