"use strict";

// Whatever comes from the network is put on the page as text, by textContent and setAttribute, and never as markup.

const $ = (id) => document.getElementById(id);
const STATES = { "=": "equal", x: "differs", "?": "unknown", "-": "outside", "~": "young" };
const WORDS = {
  equal: "equal", differs: "differs, being fetched", unknown: "not compared", outside: "not held there",
  young: "too young to compare",
};
const HISTORY = 120;
const history = [];

// ---- text ---------------------------------------------------------------------------------------------------------

// Characters that would be invisible, or change the order of what stands around them, are spelt out.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const clean = (text, most = 160) => {
  const spelt = String(text).slice(0, most * 2).replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  return spelt.length > most || String(text).length > most * 2 ? `${spelt.slice(0, most)}…` : spelt;
};
const number = (value) => Number(value).toLocaleString("en");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const bytes = (count) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
  return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
};
const lasting = (seconds) => {
  const s = Math.floor(seconds);
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
};
const ago = (seconds) => (seconds === null || seconds === undefined ? "not yet" : seconds < 1.5 ? "just now" : `${lasting(seconds)} ago`);
const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
const short = (peer) => `…${String(peer).slice(-8)}`;

// ---- elements -----------------------------------------------------------------------------------------------------

const make = (tag, className) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
};
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const classed = (element, name) => { if (element.className !== name) element.className = name; };

// Makes `parent`'s children those of `items`, keeping what is there: focus and hover survive.
const keyed = (parent, items, key, create, update) => {
  const there = new Map();
  for (const child of parent.children) there.set(child.keyed, child);
  items.forEach((item, place) => {
    const name = String(key(item, place));
    let child = there.get(name);
    if (!child) { child = create(item); child.keyed = name; }
    there.delete(name);
    update(child, item, place);
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] || null);
  });
  for (const child of there.values()) child.remove();
};

// ---- parts of the page --------------------------------------------------------------------------------------------

const verdict = (state) => {
  if (document.body.dataset.whole !== state.whole || !$("spoken").textContent) {
    say($("spoken"), { yes: "This node is whole.", no: "This node is not whole.", unknown: "Not known whether this node is whole." }[state.whole]);
  }
  document.body.dataset.whole = state.whole;
  say($("verdict"), clean(state.verdict, 400));
  document.title = `${{ yes: "✓ whole", no: "✗ not whole", unknown: "? not known" }[state.whole]} · Hearken`;
  say($("node"), `${state.node.version} · ${short(state.node.peerId)} · up ${lasting(state.node.uptimeSeconds)}`);
};

const facts = (state) => {
  const connected = state.peers.filter((peer) => peer.connected);
  const equal = state.groups.map((group) => group.lastEqualSeconds);
  const latest = equal.includes(null) || equal.length === 0 ? null : Math.max(...equal);
  keyed($("facts"), [
    ["messages", "Messages kept", number(state.archive.messages)],
    ["bytes", "Size", bytes(state.archive.bytes)],
    ["equal", "Found equal", ago(latest)],
    ["repaired", "Repaired since start", number(state.sync.repaired)],
    ["served", "Sent to neighbours", number(state.sync.served)],
    ["peers", "Peers that synchronise", `${connected.filter((peer) => peer.synchronises).length} of ${connected.length}`],
  ], ([name]) => name, () => {
    const box = make("div");
    box.append(make("dt"), make("dd"));
    return box;
  }, (box, [, name, value]) => { say(box.children[0], name); say(box.children[1], value); });
};

const reading = (group, row, place) => {
  const span = group.spans[place];
  if (!span) return "";
  const state = row ? `, ${WORDS[STATES[row.spans[place]] || "unknown"]}` : "";
  return `${clock(span.from)} to ${clock(span.to)}: ${plural(span.count, "message")}${state}`;
};

// A row of spans: hovering, or the arrow keys, read one of them out.
const track = (card, kind) => {
  const row = make("div", kind);
  row.tabIndex = 0;
  row.setAttribute("role", "img");
  const choose = (place) => {
    const cells = [...row.children];
    const bounded = Math.max(0, Math.min(cells.length - 1, place));
    card.querySelectorAll(".chosen").forEach((cell) => cell.classList.remove("chosen"));
    if (cells[bounded]) cells[bounded].classList.add("chosen");
    row.chosen = bounded;
    card.read = () => say(card.querySelector(".reading"), reading(card.group, row.data, bounded));
    card.read();
  };
  row.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e3, End: 1e3 }[event.key];
    if (step) { event.preventDefault(); choose((row.chosen ?? row.children.length - 1) + step); }
  });
  row.addEventListener("focus", () => choose(row.chosen ?? row.children.length - 1));
  row.addEventListener("pointermove", (event) => {
    const place = [...row.children].indexOf(event.target);
    if (place >= 0) choose(place);
  });
  return row;
};

const groupCard = () => {
  const card = make("article", "group card");
  const title = make("h3");
  title.append(make("bdi"));
  const rows = make("div", "rows");
  rows.append(make("span", "name"), track(card, "track bars"));
  const neighbours = make("div", "rows neighbours");
  const foot = make("div", "rows");
  foot.append(make("span"), make("div", "axis"), make("span"), make("p", "reading"));
  foot.querySelector(".axis").append(make("time"), make("time"));
  const triggers = make("ul", "chips");
  triggers.setAttribute("aria-label", "Comparisons by what triggered them");
  card.append(title, make("p", "about quiet"), rows, neighbours, foot, make("p", "caption quiet"), triggers);
  return card;
};

const fillGroup = (card, group) => {
  card.group = group;
  if (card.read) card.read();
  else say(card.querySelector(".reading"), "Point at a span, or go there with the arrow keys, to read it.");
  say(card.querySelector("h3 bdi"), clean(group.pubsubTopic, 200) + (group.contentTopics.length ? `, ${plural(group.contentTopics.length, "content topic")}` : ""));
  const about = [
    `${plural(group.count, "message")} in the window (${number(group.messages)} kept)`,
    `root ${clean(group.root, 8)}`, `equal ${ago(group.lastEqualSeconds)}`,
    `announces every ${lasting(group.intervalSeconds)} or less often`,
  ];
  if (group.differences) about.unshift(`${plural(group.differences, "difference")}, about ${number(group.missing)} missing`);
  say(card.querySelector(".about"), about.join(" · "));
  bars(card, group);
  agreement(card, group);
  const [from, to] = card.querySelectorAll(".axis time");
  say(from, clock(group.window.from));
  say(to, clock(group.spans.length ? group.spans[group.spans.length - 1].to : group.window.to));
  say(card.querySelector(".caption"), group.probes.length ? "Compared with neighbours, by what triggered it:" : "");
  keyed(card.querySelector(".chips"), group.probes, (probe) => probe.trigger, () => make("li"), (chip, probe) => {
    say(chip, `${clean(probe.trigger, 20)} ×${number(probe.count)}, ${ago(probe.secondsAgo)}`);
  });
};

const bars = (card, group) => {
  const [name, row] = card.querySelector(".rows").children;
  say(name, "messages");
  const most = Math.max(1, ...group.spans.map((span) => span.count));
  row.setAttribute("aria-label", `Messages over time: ${plural(group.count, "message")} in ${group.spans.length} spans, at most ${most} in one`);
  keyed(row, group.spans, (_, place) => place, () => make("div"), (bar, span, place) => {
    const chosen = bar.classList.contains("chosen") ? " chosen" : "";
    classed(bar, `bar${place === group.spans.length - 1 ? " young" : ""}${chosen}`);
    bar.style.setProperty("--share", (span.count / most).toFixed(3));
  });
};

const agreement = (card, group) => {
  const cells = group.neighbours.flatMap((row) => [{ row, name: true }, { row, name: false }]);
  const make2 = ({ name }) => (name ? make("span", "name") : track(card, "track"));
  keyed(card.querySelector(".neighbours"), cells, ({ row, name }) => `${row.peer} ${name}`, make2, (element, { row, name }) => {
    if (name) return say(element, short(row.peer));
    element.data = row;
    const states = [...row.spans].map((state) => STATES[state] || "unknown");
    const count = (state) => states.filter((other) => other === state).length;
    element.setAttribute("aria-label", `Neighbour ${short(row.peer)}: ${count("equal")} spans equal, ${count("differs")} differ, ${count("unknown")} not compared`);
    keyed(element, states, (_, place) => place, () => make("div"), (cell, state) => {
      classed(cell, `cell ${state}${cell.classList.contains("chosen") ? " chosen" : ""}`);
    });
  });
};

const live = (state) => {
  history.push({ at: Date.parse(state.now), received: state.live.received + state.live.stored, repaired: state.sync.repaired });
  if (history.length > HISTORY + 1) history.shift();
  const rates = history.slice(1).map((now, place) => {
    const before = history[place];
    const seconds = Math.max(0.2, (now.at - before.at) / 1000);
    return Math.max(0, now.received - before.received) / seconds;
  });
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, place) => `${240 - (rates.length - 1 - place) * 2},${(46 - 42 * rate / most).toFixed(1)}`);
  const first = 240 - Math.max(0, rates.length - 1) * 2;
  $("spark-line").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  $("spark-area").setAttribute("d", points.length > 1 ? `M${first},48L${points.join("L")}L240,48Z` : "");
  keyed($("rates"), [
    `${number(state.live.received)} received`, `${number(state.live.stored)} stored`,
    `${number(state.live.refused)} refused`, `${number(state.live.lost)} lost`,
  ], (_, place) => place, () => make("span"), say);
  $("messages-none").hidden = state.live.last.length > 0;
  keyed($("messages"), state.live.last.slice(0, 8), (seen) => `${seen.time} ${seen.contentTopic} ${seen.bytes}`, () => {
    const item = make("li");
    item.append(make("time"), make("bdi"), make("span", "size"));
    return item;
  }, (item, seen) => {
    say(item.children[0], clock(seen.time));
    say(item.children[1], clean(seen.contentTopic, 120));
    say(item.children[2], bytes(seen.bytes));
  });
};

const repairs = (state) => {
  $("repairs-none").hidden = state.repairs.length > 0;
  const topics = new Map(state.groups.map((group) => [group.id, group.pubsubTopic]));
  keyed($("repairs"), state.repairs.slice(0, 12), (repair) => `${repair.time} ${repair.group}`, () => {
    const item = make("li");
    item.append(make("time"), make("bdi"), make("strong"));
    return item;
  }, (item, repair) => {
    say(item.children[0], clock(repair.time));
    say(item.children[1], clean(topics.get(repair.group) || repair.group, 80));
    const rest = [["duplicates", "held already"], ["refused", "refused"], ["unasked", "unasked"], ["failed", "not stored"]];
    const more = rest.filter(([name]) => repair[name]).map(([name, word]) => `${number(repair[name])} ${word}`);
    say(item.children[2], [`+${number(repair.stored)}`, ...more].join(", "));
  });
};

const peerState = (peer) => {
  if (peer.mutedSeconds !== null) return ["muted", `muted for ${lasting(peer.mutedSeconds)}`];
  if (!peer.connected) return ["", "gone"];
  if (!peer.synchronises) return ["", "does not synchronise"];
  if (peer.groups.some((group) => group.differences)) return ["differs", "differs"];
  const equal = peer.groups.map((group) => group.equalSecondsAgo).filter((seconds) => seconds !== null);
  return equal.length ? ["equal", `equal ${ago(Math.max(...equal))}`] : ["", "not compared lately"];
};

const peers = (state) => {
  $("peers-none").hidden = state.peers.length > 0;
  keyed($("peers"), state.peers.slice(0, 200), (peer) => peer.peer, () => {
    const item = make("li");
    item.append(make("code"), make("bdi"), make("bdi"), make("span"));
    return item;
  }, (item, peer) => {
    const [kind, words] = peerState(peer);
    const busy = [peer.asking ? `owes ${plural(peer.asking, "answer")}` : "", peer.serving ? `is served ${number(peer.serving)}` : "", peer.penaltyPoints ? plural(peer.penaltyPoints, "penalty point") : ""];
    say(item.children[0], short(peer.peer));
    item.children[0].title = String(peer.peer);
    say(item.children[1], clean(peer.address || "", 120));
    say(item.children[2], clean(peer.agent || "", 60));
    classed(item.children[3], `state ${kind}`);
    say(item.children[3], [words, ...busy].filter(Boolean).join(", "));
  });
};

const show = (state) => {
  verdict(state);
  facts(state);
  keyed($("groups"), state.groups, (group) => group.id, groupCard, fillGroup);
  live(state);
  repairs(state);
  peers(state);
};

// ---- the node -----------------------------------------------------------------------------------------------------

const heard = (answers) => {
  $("lost").hidden = answers;
  document.body.classList.toggle("stale", !answers);
};

const listen = () => {
  const events = new EventSource("/sync/v1/events");
  events.addEventListener("state", (event) => { heard(true); show(JSON.parse(event.data)); });
  events.addEventListener("trouble", () => heard(false));
  events.addEventListener("error", () => {
    heard(false);
    // A refused connection is given up by the browser; one that broke is taken up again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
};

$("now").addEventListener("click", async () => {
  $("now").disabled = true;
  try {
    const answer = await fetch("/sync/v1/now", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    say($("asked"), answer.ok ? `Asked at ${clock(Date.now())} for ${plural((await answer.json()).groups.length, "group")}.` : clean(await answer.text(), 300));
  } catch {
    say($("asked"), "The node does not answer.");
  }
  setTimeout(() => { $("now").disabled = false; }, 1000);
});

listen();
