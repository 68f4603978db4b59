// What the page is put together from: text, in nodes that stay where they are.

const MINUTE = 60, HOUR = 3600, DAY = 86400;

export const by = (id) => document.getElementById(id);
export const SVG = "http://www.w3.org/2000/svg";

// By state: the class that colours it, the sign beside its word, and the height of its bar, so that no colour is needed to tell them.
export const STATES = {
  up: ["good", "✓", 0.4], degraded: ["warn", "!", 0.7], down: ["bad", "✗", 1], held: ["warn", "‖", 0.85],
  draining: ["info", "↓", 0.6], drained: ["info", "–", 0.25], unknown: ["unknown", "?", 0.12],
};
export const LINKS = { ok: ["good", "✓", "holds"], warning: ["warn", "!", "to be seen"], broken: ["bad", "✗", "broken"] };
export const PHASES = {
  degraded: "announced with the degraded attributes", graceful_shutdown: "saying goodbye (GRACEFUL_SHUTDOWN)",
  withdrawing: "withdrawn, not yet acknowledged", lingering: "acknowledged; packets may still arrive", drained: "withdrawn: safe to stop",
};

// Characters that are not seen, or that turn others round: shown as what they are.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
export const shown = (text) =>
  String(text ?? "").replace(UNSEEN, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

export function set(node, text) {
  const now = shown(text);
  if (node.textContent !== now) node.textContent = now;
  return node;
}

export function make(tag, looks = "", text = null) {
  const node = document.createElement(tag);
  if (looks) node.className = looks;
  return text === null ? node : set(node, text);
}

export function put(parent, ...children) {
  parent.append(...children);
  return parent;
}

export function look(node, looks) {
  if (node.className !== looks) node.className = looks;
}

// Makes the children of `parent` those of `items`, and leaves those alone that are there: who has opened or reached one keeps it.
export const nodes = new WeakMap();
export function each(parent, items, key, begin, show) {
  const known = nodes.get(parent) ?? new Map();
  const wanted = new Map(items.map((item) => [key(item), item]));
  // First, so that nobody has to be moved: what is moved is not where one was any more.
  for (const [name, part] of known) if (!wanted.has(name)) part.root.remove();
  const next = new Map();
  let at = parent.firstChild;
  for (const [name, item] of wanted) {
    const part = known.get(name) ?? begin(item);
    next.set(name, part);
    if (part.root === at) at = at.nextSibling;
    else parent.insertBefore(part.root, at);
    show(part, item);
  }
  nodes.set(parent, next);
}

// A list of plain texts.
export function texts(parent, tag, items) {
  each(parent, items.map((text, index) => ({ text, index })), (item) => item.index,
    () => ({ root: make(tag) }), (part, item) => set(part.root, item.text));
}

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${whole % MINUTE} s`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`;
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

// The same where it is added up.
export function about(seconds) {
  const minutes = Math.round(seconds / MINUTE);
  if (seconds < MINUTE) return span(seconds);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

export const took = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`);
export const many = (number, one, more) => `${number} ${number === 1 ? one : more}`;
