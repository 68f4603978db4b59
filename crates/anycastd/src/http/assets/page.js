// The status page: asks the agent that serves it, and shows what it says.
//
// What is said comes from checks, neighbors and files, and is text: it is put into text nodes, and nowhere else. Nothing here writes HTML.

import { LINKS, PHASES, STATES, SVG, about, by, each, look, make, many, nodes, put, set, shown, span, texts, took } from "./parts.js";

const HEARD_WITHIN = 6000; // Milliseconds: the agent says something every two seconds, or every three on a busy node.
const AGAIN = 500; // Until the agent is asked again that does not answer.
const UPGRADES = 5000; // For so long nobody is missed that has said that another program goes on.
const SETTLE = 400; // What follows from an event is asked for once, when so much time has passed.
const EVENTS = 300; // That are kept here.

const clock = (time) => String(time ?? "").slice(11, 19);
// With the day, where that is another.
const moment = (time) => {
  const today = new Date(nodeNow()).toISOString().slice(0, 10);
  return time.startsWith(today) ? clock(time) : `${time.slice(5, 10)} ${time.slice(11, 16)}`;
};

const toTheMinute = (time) => moment(time).replace(/^(\d\d:\d\d):\d\d$/, "$1");

// ── What is known ──

const state = { status: null, base: null, goneSince: null, last: null, version: null, events: [], unseen: 0, history: null };

// When what is shown was so, by the clock of this page: now, or while nobody answers, when the last status came.
const asOf = () => (state.goneSince ? state.goneSince.here : performance.now());

// The node's clock then.
function nodeNow() {
  if (!state.base) return Date.now();
  return state.base.node + asOf() - state.base.here;
}

const ago = (time) => (nodeNow() - Date.parse(time)) / 1000;

// ── Services ──

function beginCard(service) {
  const root = make("article", "card");
  const part = { root, name: service.name, title: make("h3"), pill: make("span", "pill"), since: make("span", "since quiet") };
  part.title.id = `service-${service.name}`;
  root.setAttribute("aria-labelledby", part.title.id);
  part.strip = document.createElementNS(SVG, "svg");
  part.strip.setAttribute("class", "strip");
  part.strip.setAttribute("role", "img");
  part.strip.setAttribute("viewBox", "0 0 3600 1");
  part.strip.setAttribute("preserveAspectRatio", "none");
  part.strip.setAttribute("aria-label", "The last hour: not known yet.");
  part.pastText = make("summary", "", "The last hour is not known yet");
  part.pastList = make("ol");
  part.order = make("p", "order");
  part.lack = make("p", "order bad");
  part.prefixes = make("dd");
  part.addresses = make("dd");
  part.checks = make("ul", "checks");
  part.checks.setAttribute("aria-label", "Checks");
  part.why = make("details", "why");
  part.whyText = make("div");
  put(part.why, make("summary", "", "Why"), part.whyText);
  part.why.addEventListener("toggle", () => explain(part));
  const facts = put(make("dl", "facts"), make("dt", "", "Prefixes"), part.prefixes, make("dt", "", "Addresses"), part.addresses);
  put(root, put(make("div", "head"), part.title, part.pill, part.since), part.strip,
    put(make("details", "past"), part.pastText, part.pastList), part.order, part.lack, facts, part.checks, part.why);
  return part;
}

function showCard(part, service) {
  const [looks, sign] = STATES[service.state] ?? STATES.unknown;
  look(part.root, `card ${looks}`);
  set(part.title, service.name);
  look(part.pill, `pill ${looks}`);
  set(part.pill, `${sign} ${service.state}`);
  set(part.since, `for ${span(ago(service.since))}`);
  const order = ordered(service.drain) ?? held(service.hold_down);
  part.order.hidden = !order;
  set(part.order, order ?? "");
  part.lack.hidden = !service.lacks;
  set(part.lack, service.lacks ?? "");
  texts(part.prefixes, "span", service.prefixes.map(prefixText));
  texts(part.addresses, "span", service.addresses.map(addressText));
  each(part.checks, service.checks, (check) => check.name, beginCheck, showCheck);
  showPast(part);
}

function prefixText(prefix) {
  const notes = prefix.notes.length ? ` (${prefix.notes.join(", ")})` : "";
  const [sign, said] = !prefix.announced ? ["✗", "not announced"] : prefix.neighbors ? ["✓", "announced"] : ["!", "to be announced, nobody has it"];
  return `${sign} ${prefix.prefix} ${said}${notes}`;
}

function addressText(address) {
  const found = state.status.addresses.find((one) => one.address === address);
  if (!found) return `? ${address}`;
  if (!found.bound) return `✗ ${address} not bound: ${found.problem ?? "nothing is known of why"}`;
  return `✓ ${address} on ${found.interface}${found.foreign ? " (foreign)" : ""}`;
}

// The end of an order, and what of it is under way.
function ordered(drain) {
  if (!drain) return null;
  const until = drain.until_boot ? "until the machine starts anew" : drain.until
    ? `until ${moment(drain.until)}, for ${span(-ago(drain.until))} more` : drain.disable_file ? "" : "until announced";
  const left = drain.phase_ends ? `, for ${span(-ago(drain.phase_ends))} more` : "";
  const why = drain.reason ? ` “${drain.reason}”` : "";
  const file = drain.disable_file ? ` (${drain.disable_file} is there)` : "";
  return `${PHASES[drain.phase] ?? drain.phase}${left}. By ${drain.by} at ${moment(drain.ordered)}${why}${file}${until ? `, ${until}` : ""}`;
}

function held(hold) {
  if (!hold?.held) return null;
  const left = hold.until ? -ago(hold.until) : hold.left_seconds;
  return `Held down because it flaps, for ${span(left)} more. “anycastctl announce … --force” ends it`;
}

function beginCheck() {
  const root = make("li");
  const part = { root, sign: make("span"), name: make("span"), say: make("span", "say"), took: make("span", "took quiet") };
  put(root, part.sign, part.name, part.say, part.took);
  return part;
}

function showCheck(part, check) {
  const [looks, sign] = STATES[check.health] ?? STATES.unknown;
  look(part.sign, looks);
  set(part.sign, sign);
  part.sign.setAttribute("aria-label", check.health);
  part.sign.setAttribute("role", "img");
  set(part.name, check.name);
  const notes = [];
  if (check.paused) notes.push(check.paused);
  else if (check.cannot_run) notes.push(`cannot be done: ${check.cannot_run}`);
  else if (check.starts_in_seconds > 0) notes.push(`begins in ${span(check.starts_in_seconds)}`);
  else notes.push(check.last ? check.last.detail : "has not answered yet");
  if (check.turning) notes.push(`${check.turning[0]} of ${check.turning[1]} to turn`);
  if (!check.counts) notes.push("does not count yet");
  set(part.say, notes.join(" · "));
  set(part.took, check.last ? `${took(check.last.took_seconds)} · ${span(ago(check.last.at))} ago` : check.kind);
}

// ── The strip of the last hour ──

function showPast(part) {
  const service = state.history?.services.find((one) => one.name === part.name);
  if (!service) return;
  const since = Math.max(0, asOf() - state.history.here) / 1000;
  const window = state.history.window_seconds;
  const spans = service.spans.map((one, index) => ({
    index, state: one.state, from: Math.min(window, one.from_seconds + since),
    to: index + 1 === service.spans.length ? 0 : one.to_seconds + since,
  })).filter((one) => one.to < window);
  each(part.strip, spans, (one) => `${one.index} ${one.state}`, () => ({ root: document.createElementNS(SVG, "rect") }), (bar, one) => {
    const [looks, , height] = STATES[one.state] ?? STATES.unknown;
    const width = Math.max((one.from - one.to) * 3600 / window, 12);
    const place = { class: looks, x: 3600 - one.from * 3600 / window, width, y: 1 - height, height };
    for (const [name, value] of Object.entries(place)) bar.root.setAttribute(name, typeof value === "number" ? value.toFixed(3) : value);
  });
  const sums = new Map();
  for (const one of spans) sums.set(one.state, (sums.get(one.state) ?? 0) + one.from - one.to);
  const before = window - (spans[0]?.from ?? 0);
  if (before >= 1) sums.set("before that not known", before);
  const told = [...sums].filter(([, seconds]) => seconds >= 1).map(([name, seconds]) => `${name} ${about(seconds)}`).join(", ");
  const changes = Math.max(0, spans.length - 1);
  const text = `Last hour: ${told}; ${many(changes, "change", "changes")}`;
  set(part.pastText, text);
  if (part.strip.getAttribute("aria-label") !== text) part.strip.setAttribute("aria-label", text);
  const when = (one) => (one.to ? `until ${span(one.to)} ago` : "until now");
  texts(part.pastList, "li", spans.toReversed().map((one) => `${one.state} from ${span(one.from)} ago ${when(one)}`));
}

// ── Why ──

async function explain(part) {
  if (!part.why.open) return;
  try {
    const answer = await ask(`api/explain?target=${encodeURIComponent(part.name)}`);
    each(part.whyText, answer.prefixes, (prefix) => prefix.prefix, beginChain, showChain);
  } catch (error) {
    if (!state.goneSince) part.whyText.replaceChildren(make("p", "bad", error.message)), nodes.delete(part.whyText);
  }
}

function beginChain() {
  const part = { root: make("div"), title: make("h4"), text: make("p"), chain: make("ol", "chain") };
  put(part.root, part.title, part.text, part.chain);
  return part;
}

function showChain(part, prefix) {
  set(part.title, prefix.prefix);
  set(part.text, prefix.summary);
  each(part.chain, prefix.chain.map((link, index) => ({ ...link, index })), (link) => `${link.index} ${link.kind} ${link.name}`, () => {
    const one = { root: make("li"), sign: make("span"), body: make("span"), of: make("span", "quiet"), text: make("span"), hint: make("span", "hint") };
    one.sign.setAttribute("role", "img");
    put(one.root, one.sign, put(one.body, one.of, document.createTextNode(" "), one.text, one.hint));
    return one;
  }, (one, link) => {
    const [looks, sign, word] = LINKS[link.ok] ?? LINKS.warning;
    look(one.sign, looks);
    set(one.sign, sign);
    one.sign.setAttribute("aria-label", word);
    set(one.of, link.kind === "decision" ? "decision" : `${link.kind.replace("_", " ")} ${link.name}`);
    set(one.text, link.since ? `${link.text} · for ${span(ago(link.since))}` : link.text);
    one.hint.hidden = !link.hint;
    set(one.hint, link.hint ?? "");
  });
}

// ── Neighbors ──

function beginNeighbor() {
  const names = ["name", "pill", "where", "since", "bfd", "more"];
  const part = { root: make("li") };
  for (const name of names) part[name] = put(part.root, make("span", name)).lastChild;
  part.where.className = "quiet";
  part.more.className = "more quiet";
  return part;
}

function showNeighbor(part, one) {
  const looks = one.state === "Established" ? "good" : one.state === "Listen" ? "unknown" : one.dynamic ? "unknown" : "bad";
  const sign = { good: "✓", bad: "✗", unknown: "·" }[looks];
  set(part.name, one.name);
  set(part.where, `${one.address} AS${one.asn}`.replace(/AS(external|internal)$/, "$1"));
  look(part.pill, `pill ${looks}`);
  set(part.pill, `${sign} ${one.state}`);
  set(part.since, span(ago(one.since)));
  const bfd = one.bfd?.session;
  look(part.bfd, `wide ${bfd && bfd.state !== "Up" ? "bad" : ""}`);
  set(part.bfd, `${many(one.routes, "route", "routes")}${one.bfd ? ` · BFD ${bfd ? bfd.state : "none now"}` : ""}`);
  const more = [];
  if (one.last_error) more.push(`${one.last_error}${one.last_error_at ? ` (${span(ago(one.last_error_at))} ago)` : ""}`);
  if (one.retry_seconds) more.push(`again in ${span(one.retry_seconds)}`);
  if (one.remedy) more.push(`→ ${one.remedy}`);
  if (bfd?.problem) more.push(`BFD: ${bfd.problem}`);
  for (const [prefix, why] of Object.entries(one.unsendable)) more.push(`cannot be given ${prefix}: ${why}`);
  set(part.more, more.join(" · "));
}

// ── Events ──

function beginEvent(event) {
  const root = make("li");
  const time = make("time", "mono quiet", moment(event.at));
  time.dateTime = event.at;
  time.title = event.at;
  put(root, time, put(make("span"), make("span", "of", `${event.kind} ${event.subject}`), make("span", "text", event.text)));
  return { root };
}

function showEvents() {
  const wanted = by("filter").value.toLowerCase();
  const paused = by("pause").getAttribute("aria-pressed") === "true";
  if (paused) {
    set(by("pause"), state.unseen ? `Go on (${state.unseen} new)` : "Go on");
    return;
  }
  set(by("pause"), "Pause");
  state.unseen = 0;
  const found = state.events.filter((one) => !wanted || `${one.kind} ${one.subject} ${one.text}`.toLowerCase().includes(wanted));
  each(by("event-list"), found, (one) => one.key, beginEvent, () => {});
}

function happened(id, event) {
  if (state.events.some((one) => one.key === id)) return;
  state.events.unshift({ ...event, key: id });
  state.events.length = Math.min(state.events.length, EVENTS);
  state.unseen += 1;
}

// ── The whole ──

function show() {
  const status = state.status;
  if (!status) return;
  const gone = state.goneSince !== null;
  document.body.classList.toggle("stale", gone);
  set(by("node"), status.node);
  const places = [`AS${status.asn}`, status.router_id, status.region, status.country].filter(Boolean).join(" · ");
  set(by("about"), `${places} · anycastd ${status.version} · up ${span(ago(status.started))}`);
  const [looks, text] = gone ? ["unknown", "? not known"] : verdict(status);
  look(by("verdict"), `verdict ${looks}`);
  set(by("verdict"), text);
  document.title = `${text.slice(0, 1)} ${shown(status.node)} – anycastd`;
  set(by("as-of"), gone ? `; as of ${clock(new Date(nodeNow()).toISOString())}` : "");
  by("problems").hidden = status.problems.length === 0;
  texts(by("problem-list"), "li", status.problems);
  by("no-services").hidden = status.services.length > 0;
  each(by("service-list"), status.services, (one) => one.name, beginCard, showCard);
  by("no-neighbors").hidden = status.neighbors.length > 0;
  each(by("neighbor-list"), status.neighbors, (one) => one.name, beginNeighbor, showNeighbor);
}

function verdict(status) {
  if (status.stopping) return ["info", "↓ the agent is ending"];
  if (status.healthy) return ["good", "✓ all is as configured"];
  const amiss = faults(status);
  const orders = new Map();
  for (const one of status.services.filter(asOrdered)) orders.set(orderOf(one), [...(orders.get(orderOf(one)) ?? []), one]);
  const told = [...orders].map(([order, some]) => `${named(some, "services")} ${order}`);
  const bad = amiss.length > 0 || told.length === 0;
  return [bad ? "bad" : "info", `${bad ? "✗" : "↓"} ${[...amiss, ...told].join(", ") || awaited(status)}`];
}

// What nobody has ordered, in few words.
function faults(status) {
  const ill = status.services.filter((one) => one.state !== "up" && !asOrdered(one));
  const up = status.services.filter((one) => one.state === "up");
  const back = up.flatMap((one) => one.prefixes).filter((one) => !one.announced).map((one) => ({ name: one.prefix }));
  const bound = new Set(status.addresses.filter((one) => one.bound).map((one) => one.address));
  const unbound = up.flatMap((one) => one.addresses).filter((one) => !bound.has(one)).map((name) => ({ name }));
  const alone = status.neighbors.filter((one) => !one.dynamic && one.state !== "Established");
  const parts = [];
  if (ill.length) parts.push(`${named(ill, "services")} not up`);
  if (back.length) parts.push(`${named(back, "prefixes")} not announced`);
  if (unbound.length) parts.push(`${named(unbound, "addresses")} not bound`);
  if (alone.length) parts.push(`no session with ${named(alone, "neighbors")}`);
  if (status.problems.length) parts.push(many(status.problems.length, "problem", "problems"));
  return parts;
}

// What is left: a network that a service needs, and of which nobody has come.
function awaited(status) {
  const networks = status.neighbors.filter((one) => one.state === "Listen" && !(one.counters.sessions > 0));
  return networks.length ? `no session yet with ${named(networks, "networks")}` : "not all is as configured";
}

// Somebody wants it so.
function asOrdered({ state: now, drain }) {
  return drain && (now === "draining" || now === "drained" || (now === "degraded" && drain.phase === "degraded"));
}

// An order in few words: `drained by root until 19:06`.
function orderOf({ state: now, drain }) {
  const ends = drain.until_boot ? " until the machine starts anew" : drain.until ? ` until ${toTheMinute(drain.until)}`
    : drain.disable_file ? ` while ${drain.disable_file} is there` : " until announced";
  return `${now} by ${drain.by}${ends}`;
}

const named = (some, what) => (some.length > 3 ? `${some.length} ${what}` : some.map((one) => one.name).join(", "));

// For those who listen: what a service or a session has become, and nothing else.
function speak(before, now) {
  if (!before) return;
  const was = new Map(before.services.map((one) => [one.name, one.state]));
  const sessions = new Map(before.neighbors.map((one) => [one.name, one.state === "Established"]));
  const said = [];
  for (const one of now.services) if (was.has(one.name) && was.get(one.name) !== one.state) said.push(`${one.name} is ${one.state}`);
  for (const one of now.neighbors) {
    const up = one.state === "Established";
    if (sessions.has(one.name) && sessions.get(one.name) !== up) said.push(`the session with ${one.name} is ${up ? "up" : "down"}`);
  }
  if (said.length) set(by("said"), said.join(", "));
}

function heardStatus(status) {
  const before = state.status;
  state.version ??= status.version;
  by("renewed").hidden = status.version === state.version;
  state.status = status;
  state.base = { node: Date.parse(status.now), here: performance.now() };
  answers();
  speak(before, status);
  show();
}

// ── Who answers, and who does not ──

function answers() {
  if (state.goneSince === null) return;
  state.goneSince = null;
  by("gone").hidden = true;
  set(by("said"), "The agent answers again");
  soon();
}

const goneFor = () => set(by("gone-for"), `for ${span((performance.now() - state.goneSince.here) / 1000)}`);

// Since the last status, not since that was noticed.
function silent(why, wholly = true) {
  if (state.goneSince !== null) return;
  state.goneSince = { here: state.base?.here ?? performance.now() };
  const then = state.status ? "; what is shown is as of then" : "";
  set(by("gone-text"), `${why} since ${clock(new Date(nodeNow()).toISOString())}${then}.`);
  goneFor();
  by("gone-routes").hidden = !wholly;
  by("gone").hidden = false;
  show();
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(HEARD_WITHIN) });
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  throw Object.assign(new Error(told.error), { status: answer.status });
}

// What is not told by itself: asked for soon after something has happened.
let pending = null;
function soon() {
  pending ??= setTimeout(async () => {
    pending = null;
    try {
      state.history = { ...(await ask("api/history")), here: performance.now() };
      for (const part of nodes.get(by("service-list"))?.values() ?? []) showPast(part), explain(part);
    } catch {
      // The next event, or the next minute, asks again.
    }
  }, SETTLE);
}

function heard(kind, id, data) {
  const told = JSON.parse(data);
  if (kind === "happened") {
    state.last = id;
    happened(id, told);
    soon();
  } else if (kind === "status") {
    heardStatus(told);
  } else if (kind === "missed") {
    by("missed").hidden = false;
    set(by("missed"), `${many(told.events, "event", "events")} came too fast, or while nobody looked, and are not shown: anycastctl events`);
  } else if (kind === "silent") {
    silent("The agent is there, and its decision loop has not answered", false);
  }
}

// One stream, up to its end. Returns why it was ended; false: it broke off.
async function follow() {
  const end = new AbortController();
  const bite = () => end.abort();
  let watchdog = setTimeout(bite, HEARD_WITHIN);
  try {
    const headers = state.last ? { "Last-Event-ID": state.last } : {};
    const answer = await fetch("api/events", { headers, cache: "no-store", signal: end.signal });
    if (!answer.ok) throw Object.assign(new Error(`The agent answers with ${answer.status}`), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(watchdog);
      watchdog = setTimeout(bite, HEARD_WITHIN);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s, 2)));
        if (fields.event === "bye") return JSON.parse(fields.data).reason ?? "";
        if (fields.event) heard(fields.event, fields.id, fields.data);
      }
      showEvents();
    }
  } finally {
    clearTimeout(watchdog);
    end.abort();
  }
}

async function run() {
  let missedFrom = 0;
  const misses = (...why) => performance.now() < missedFrom || silent(...why);
  for (;;) {
    const again = await follow().catch((error) => error);
    if (again === "upgrade") missedFrom = performance.now() + UPGRADES;
    if (typeof again === "string") continue;
    if (again?.name === "AbortError") misses("The agent has not answered");
    try {
      // There may be no place to follow, or nobody at all; the rest of the page works without a stream.
      heardStatus(await ask("api/status"));
      if (again?.status === 503) await new Promise((go) => setTimeout(go, 2000));
    } catch (error) {
      misses(error.status ? `The agent answers, and says “${error.message}”` : "The agent has not answered", !error.status);
    }
    await new Promise((go) => setTimeout(go, performance.now() < missedFrom ? AGAIN / 5 : AGAIN));
  }
}

by("filter").addEventListener("input", showEvents);
by("pause").addEventListener("click", () => {
  const paused = by("pause").getAttribute("aria-pressed") === "true";
  by("pause").setAttribute("aria-pressed", String(!paused));
  state.unseen = 0;
  showEvents();
});
setInterval(() => {
  if (state.goneSince) goneFor();
  else show();
}, 1000);
setInterval(soon, 60000);
soon();
run();
