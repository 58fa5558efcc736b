// The review desk. Whatever rows, labels and notes say reaches the page as textContent alone. A decision is kept before
// the next row shows: by the server that has the page's token, or, in a file, in the browser's storage until it is saved.
"use strict";
const desk = JSON.parse(document.getElementById("desk").textContent);
const $ = (id) => document.getElementById(id);
const many = desk.most > 1 || (desk.most === 1 && desk.least === 0);
const names = Object.keys(desk.labels);
const served = desk.token !== null;
const NEAR = 15; // rows beside the one that is shown: the page never has more
const LISTED = 100; // labels that are shown of those that match
const place = `sluice-review:${desk.run}:${desk.drawn_at}`;
const decided = new Map(); // by row: what was decided in this window
const history = []; // rows in the order in which they were decided
const began = Date.now();
let queue = 0, at = 0, pick = 0, chosen = new Set(), shown = [], busy = false, ahead = "", undelivered = 0;

function element(kind, words = "", style = "") {
  const made = document.createElement(kind);
  made.textContent = visible(words);
  if (style) made.className = style;
  return made;
}

function visible(words) { // a browser would drop control characters, or turn the text by others
  return String(words).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => String.fromCharCode(c === "\u007f" ? 0x2421 : 0x2400 + c.charCodeAt(0)))
    .replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const rows = () => (desk.queues.length ? desk.queues[queue].rows : []);
const number = () => rows()[at];
const row = () => desk.rows[number()];
const measures = () => desk.queues[queue]?.name === "uniform";

function answers(heads) {
  return new Set(heads.map((each) => JSON.stringify([[...(each.labels || [])].sort(), each.fields])));
}

function settled(which) { // what people agree on; in the sample only what was said of a drawn row as such
  const heads = desk.rows[which].said;
  if (decided.has(which)) return decided.get(which).kind !== "skipped" && answers(heads).size <= 1;
  return heads.length > 0 && answers(heads).size === 1 && (!measures() || heads.some((each) => each.drawn));
}

function mine() { return [...decided.values()].filter((each) => each.kind === "decided").length; }

// Showing.

function showQueues() {
  $("queues").replaceChildren(...desk.queues.map((each, n) => {
    const chip = element("button", `${each.title} ${each.rows.length.toLocaleString()}${each.of > each.rows.length ? ` of ${each.of.toLocaleString()}` : ""}`);
    chip.type = "button";
    chip.setAttribute("aria-pressed", String(n === queue));
    chip.addEventListener("click", () => openQueue(n));
    return chip;
  }));
  $("about").textContent = desk.queues.length ? desk.queues[queue].about : "There is nothing to review: every row was rejected, or there are none.";
}

function openQueue(n) {
  queue = n;
  const open = rows().findIndex((each) => !settled(each));
  at = open < 0 ? 0 : open;
  showQueues();
  show();
}

function show() {
  $("wrong").hidden = true;
  const none = !desk.queues.length;
  for (const name of ["row", "decide"]) $(name).hidden = none;
  showProgress();
  if (none) return;
  const now = row(), before = now.said.at(-1);
  $("place").textContent = visible(now.place + (now.id === null ? "" : ` · ${now.id}`));
  const state = element("span", now.status + (now.reason ? ` · ${now.reason}` : ""), `badge ${now.status === "accepted" ? "good" : "warn"}`);
  state.id = "state";
  $("state").replaceWith(state);
  showText(now);
  $("own").replaceChildren(...now.own.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  $("trail").replaceChildren(...now.trail.map(attempt), ...(now.gold ? [known(now.gold)] : []), ...(now.score === null ? [] : [scored(now.score)]));
  showOthers(now);
  showAlike(number());
  const draft = drafts()[number()];
  chosen = new Set(draft?.labels ?? before?.labels ?? (many ? now.labels || [] : []));
  $("note").value = draft?.note ?? (before ? before.note : "");
  $("search").value = ahead; // what was typed while the row before was being saved
  ahead = "";
  showFields({ ...now.given, ...before?.fields }, draft?.fields ?? {});
  search();
  showNear();
  $("text").scrollTop = 0;
  if ($("row").getBoundingClientRect().top < 0) $("row").scrollIntoView();
  focusFirst();
}

function showText(now) {
  const box = $("text");
  box.className = now.text === null ? "none" : "";
  if (now.text === null) box.textContent = "The text cannot be had any more.";
  else box.replaceChildren(...marked(now.text, now.given));
  $("cut").hidden = !now.cut;
  $("cut").textContent = `${now.cut.toLocaleString()} more characters are not shown.`;
}

function marked(text, given) { // extracted values where the text has them word for word
  const words = Object.values(given).flat().filter((each) => typeof each === "string" && each.trim().length > 1).sort((a, b) => b.length - a.length);
  const parts = [];
  let rest = text;
  while (rest) {
    let from = -1, word = "";
    for (const each of words) {
      const found = rest.indexOf(each);
      if (found >= 0 && (from < 0 || found < from)) { from = found; word = each; }
    }
    if (from < 0 || parts.length > 60) break;
    parts.push(visible(rest.slice(0, from)), element("mark", word));
    rest = rest.slice(from + word.length);
  }
  return [...parts, visible(rest)];
}

function attempt(each) {
  const line = element("li");
  line.append(element("b", each.label ?? each.detail ?? "no answer"));
  if (each.confidence) line.append(element("span", each.confidence));
  line.append(element("span", `${each.outcome}${each.reason ? `: ${each.reason}` : ""}`), element("span", shortModel(each.model)));
  return line;
}

function shortModel(name) { return name === null ? "" : String(name).split("/").at(-1).replace(/^([a-z-]{2,8}\.)?[a-z0-9]+\.(?=[a-z])/, "").replace(/(-\d{8})?(-v\d+(:\w+)*)?$/, ""); }
function known(labels) { const line = element("li"); line.append(element("b", labels.join(", ")), element("span", "the known answer")); return line; }
function scored(score) { const line = element("li"); line.append(element("b", score.toFixed(3)), element("span", "score: how likely the strongest tier would have said the same")); return line; }

function showOthers(now) {
  const conflict = answers(now.said).size > 1;
  $("others").replaceChildren(...now.said.map((each) => {
    const line = element("p");
    line.append(element("span", conflict ? "conflict" : "settled", `badge ${conflict ? "bad" : "good"}`), ` ${visible(each.by)}: ${visible(inWords(each))}`);
    if (each.note) line.append(element("span", ` – ${each.note}`, "aside"));
    return line;
  }));
}

function inWords(said) {
  const labels = said.labels ? [said.labels.join(", ") || "none of the labels"] : [];
  return [...labels, ...Object.entries(said.fields || {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`)].join(", ");
}

// Rows that were settled and are like the one that is shown, by the words that they share: the rarer, the more they say.

const LIKE = 3; // rows that are shown
const LIKE_CHARACTERS = 2000; // of a text that are looked at
const LIKE_AT_LEAST = 0.15; // of the weight of all words of both
const TOO_COMMON = 100; // rows with a word, from which on it says nothing
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;
const learned = new Map(); // row: its words
const having = new Map(); // word: the learned rows that have it

function wordsOf(text) {
  const found = new Set();
  for (const word of text.slice(0, LIKE_CHARACTERS).toLocaleLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? []) {
    if (!UNSPACED.test(word)) found.add(word);
    else for (let n = 0; n + 1 < word.length; n += 1) found.add(word.slice(n, n + 2)); // what is written without spaces
  }
  return found;
}

function learn(which) {
  if (learned.has(which) || desk.rows[which].text === null) return;
  const words = wordsOf(desk.rows[which].text);
  learned.set(which, words);
  for (const word of words) {
    const list = having.get(word);
    if (list) list.push(which); else having.set(word, [which]);
  }
}

const weight = (word) => Math.log(1 + learned.size / (having.get(word)?.length ?? 1));

function alike(which) {
  if (desk.rows[which].text === null) return [];
  const words = wordsOf(desk.rows[which].text), shared = new Map();
  for (const word of words) {
    const list = having.get(word) ?? [];
    if (list.length <= TOO_COMMON) for (const other of list) shared.set(other, (shared.get(other) ?? 0) + weight(word));
  }
  shared.delete(which);
  const near = [...shared].sort((a, b) => b[1] - a[1]).slice(0, 10 * LIKE);
  const total = (set) => { let sum = 0; for (const word of set) sum += weight(word); return sum; };
  const mine = total(words);
  // Among the nearest common words count again: else all texts would seem apart once many rows are settled.
  return near.map(([other]) => [other, total(learned.get(other)), total([...words].filter((word) => learned.get(other).has(word)))])
    .map(([other, theirs, both]) => [other, both / (mine + theirs - both)])
    .filter(([other, share]) => share >= LIKE_AT_LEAST && answers(desk.rows[other].said).size === 1)
    .sort((a, b) => b[1] - a[1]).slice(0, LIKE).map(([other]) => other);
}

function showAlike(which) {
  const found = alike(which);
  $("like").hidden = !found.length;
  $("alike").replaceChildren(...found.map((each) => {
    const line = element("li"), said = desk.rows[each].said.at(-1);
    line.append(element("b", inWords(said)), element("span", said.by), element("p", desk.rows[each].text.slice(0, 240)));
    return line;
  }));
}

function showProgress() {
  const list = rows(), done = list.filter(settled).length, minutes = (Date.now() - began) / 60000;
  const pace = mine() > 2 && minutes > 0.2 ? ` · ${(mine() / minutes).toFixed(0)} a minute` : "";
  $("progress").textContent = `${done.toLocaleString()} of ${list.length.toLocaleString()} settled${pace}`;
  const saved = $("saved");
  saved.hidden = busy ? false : !history.length && !undelivered;
  saved.textContent = busy ? "Saving…" : served ? "All saved" : undelivered ? `${undelivered} not delivered` : "All delivered";
  saved.className = `badge ${busy || undelivered ? "warn" : "good"}`;
  $("deliver").hidden = served || !undelivered;
  $("save").disabled = busy;
}

function showNear() {
  const list = rows(), begin = Math.max(0, Math.min(at - 5, list.length - NEAR));
  $("near").replaceChildren(...list.slice(begin, begin + NEAR).map((each, n) => {
    const line = element("li", "", begin + n === at ? "at" : "");
    const what = decided.get(each)?.kind === "skipped" ? "skipped" : settled(each) ? inWords(desk.rows[each].said.at(-1)) : "";
    line.append(element("span", (desk.rows[each].text ?? desk.rows[each].place).slice(0, 120)), element("span", what));
    line.addEventListener("click", () => { at = begin + n; show(); });
    return line;
  }));
}

// Labels and fields.

function proposals() {
  const now = row(), found = [...(now.labels || []), ...now.said.flatMap((each) => each.labels || []), ...(now.gold || [])];
  for (const each of now.trail) if (each.label !== null) found.push(...(each.label in desk.labels ? [each.label] : each.label.split(", ")));
  return [...new Set(found)].filter((each) => Object.hasOwn(desk.labels, each));
}

function search() {
  const typed = $("search").value.trim().toLocaleLowerCase(), first = proposals();
  const ordered = [...first, ...names.filter((each) => !first.includes(each))];
  const starting = ordered.filter((each) => each.toLocaleLowerCase().startsWith(typed));
  const holding = ordered.filter((each) => !starting.includes(each) && `${each} ${desk.labels[each]}`.toLocaleLowerCase().includes(typed));
  shown = [...starting, ...holding];
  const before = row().said.at(-1)?.labels?.[0];
  pick = typed || many ? 0 : Math.max(0, shown.indexOf(before));
  showLabels();
}

function showLabels() {
  const list = shown.slice(0, LISTED).map((each, n) => {
    const line = element("li", "", n === pick ? "at" : "");
    line.id = `label-${n}`;
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", String(many ? chosen.has(each) : n === pick));
    line.append(element("b", each), element("span", (desk.labels[each] || "").slice(0, 200)));
    line.addEventListener("click", () => { pick = n; if (many) toggle(); else save(); });
    return line;
  });
  if (!list.length) list.push(element("li", "No label has that in its name or description.", "empty"));
  $("labels").replaceChildren(...list);
  $("search").setAttribute("aria-activedescendant", shown.length ? `label-${pick}` : "");
  $("labels").children[pick]?.scrollIntoView({ block: "nearest" });
  $("asked").textContent = many ? `Labels: ${[...chosen].map(visible).join(", ") || "none"}` : "Label";
}

function toggle() {
  const label = shown[pick];
  if (label === undefined) return;
  if (!chosen.delete(label)) {
    if (label === desk.none) chosen.clear(); else chosen.delete(desk.none);
    chosen.add(label);
  }
  if ($("search").value) {
    $("search").value = "";
    search();
  } else showLabels(); // the list stays where it was: the next label may stand beside this one
  keepDraft();
}

function showFields(values, draft) {
  $("fields").replaceChildren(...Object.entries(desk.fields).flatMap(([name, schema]) => {
    const caption = element("label", `${name}${schema.description ? ` – ${schema.description}` : ""}`);
    const box = control(schema, draft[name] ?? values[name]);
    caption.htmlFor = box.id = `field-${name}`;
    box.dataset.before = control(schema, values[name]).value;
    box.addEventListener("input", () => { keepDraft(); });
    return [caption, box];
  }));
}

const kinds = (schema) => [schema.type].flat();

function control(schema, value) {
  const choices = schema.enum?.filter((each) => each !== null) ?? (kinds(schema).includes("boolean") ? [true, false] : null);
  if (choices) {
    const box = element("select");
    for (const each of [null, ...choices]) { const option = element("option", each === null ? "–" : String(each)); option.value = each === null ? "" : JSON.stringify(each); box.append(option); }
    box.value = value === null || value === undefined ? "" : JSON.stringify(value);
    return box;
  }
  const list = kinds(schema).includes("array"), box = element(list ? "textarea" : "input");
  if (!list) box.type = "text";
  box.autocomplete = "off";
  box.value = value === null || value === undefined ? "" : list ? value.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join("\n") : String(value);
  return box;
}

function fieldValues() { // those that were changed; others are as the run has them
  const found = {}, said = row().said.at(-1)?.fields ?? {};
  for (const [name, schema] of Object.entries(desk.fields)) {
    const box = $(`field-${name}`);
    if (box.value === box.dataset.before && !(name in said) && names.length) continue;
    const value = box.value.trim() === "" ? null : typed(schema, box);
    if (value !== null) found[name] = value;
  }
  return found;
}

function typed(schema, box) {
  if (box.tagName === "SELECT") return JSON.parse(box.value);
  if (kinds(schema).includes("array")) return box.value.split("\n").map((each) => each.trim()).filter(Boolean).map((each) => scalar(schema.items, each));
  return scalar(schema, box.value.trim());
}

function scalar(schema, words) {
  if (kinds(schema).includes("string")) return words;
  const value = Number(words.replace(",", "."));
  return Number.isFinite(value) ? value : words; // what is no number is refused by whoever keeps it
}

// Deciding.

async function save() {
  if (busy || !desk.queues.length) return;
  const labels = !names.length ? null : many ? names.filter((each) => chosen.has(each)) : shown[pick] === undefined ? [] : [shown[pick]];
  const wrong = labels === null ? null : labels.length < desk.least ? (many ? `A row of this task has at least ${desk.least} labels.` : "Choose a label.") : labels.length > desk.most ? `A row of this task has at most ${desk.most} labels.` : null;
  if (wrong) return complain(wrong);
  const which = number(), said = { row: which, labels, fields: fieldValues(), note: $("note").value.trim(), seen: desk.rows[which].seen };
  if (labels === null && !Object.keys(said.fields).length) return complain("Fill in a field.");
  const kept = await keep(said);
  if (!kept) { ahead = ""; return; }
  const before = decided.get(which);
  decided.set(which, { kind: "decided", mark: kept.mark, before });
  learn(which);
  history.push(which);
  dropDraft(which);
  if (answers(kept.said).size < 2) return forward(true);
  show();
  complain("Saved, and somebody else has said something different meanwhile: both are kept. Save again to decide, or go on.");
}

async function keep(said) {
  const which = said.row;
  busy = true;
  showProgress();
  try {
    const kept = served ? await post(said) : store(said);
    Object.assign(desk.rows[which], { said: kept.said, seen: kept.seen });
    for (const [other, told] of Object.entries(kept.others ?? {})) Object.assign(desk.rows[other], told);
    return kept;
  } catch (error) {
    complain(`Not saved: ${error.message}`);
    return null;
  } finally {
    busy = false;
    showProgress();
  }
}

async function post(said) {
  const answer = await fetch("decisions", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) }).catch(() => { throw new Error("`sluice review` does not answer; is it still running? Your choice stays here."); });
  const told = await answer.json().catch(() => ({ wrong: `the answer was ${answer.status}` }));
  if (!answer.ok) throw new Error(told.wrong);
  return told;
}

function forward(open) {
  const list = rows();
  let next = at + 1;
  if (open) while (next < list.length && settled(list[next])) next += 1;
  if (open && next >= list.length) next = list.findIndex((each) => !settled(each) && decided.get(each)?.kind !== "skipped");
  if (next < 0 || next >= list.length) { if (open) return finished(); return; }
  at = next;
  show();
}

function finished() {
  show();
  const skipped = rows().filter((each) => decided.get(each)?.kind === "skipped").length;
  complain(`This queue is done${skipped ? `, but for ${skipped} that you skipped` : ""}.${desk.queues.length > 1 ? " Alt Q opens the next one." : ""}`, true);
}

function skip() {
  if (busy || !desk.queues.length) return;
  if (!settled(number())) decided.set(number(), { kind: "skipped", before: decided.get(number()) });
  forward(true);
}

async function undo() {
  if (busy || !history.length) return;
  const which = history.at(-1), last = decided.get(which);
  const kept = served ? await keep({ row: which, withdraws: last.mark, seen: desk.rows[which].seen }) : unstore(which);
  if (!kept) return;
  history.pop();
  if (last.before) decided.set(which, last.before); else decided.delete(which);
  if (!rows().includes(which)) { queue = desk.queues.findIndex((each) => each.rows.includes(which)); showQueues(); }
  at = rows().indexOf(which);
  show();
}

function complain(words, good = false) {
  $("wrong").textContent = words;
  $("wrong").hidden = false;
  $("wrong").style.cssText = good ? "background: var(--good-back); color: var(--good)" : "";
}

// A file keeps its decisions in the browser until they are delivered.

function book() { // {decisions: by row, what was there before each, whether all was delivered}
  try { return JSON.parse(localStorage.getItem(place)) ?? { said: {}, undelivered: 0 }; } catch { return { said: {}, undelivered: 0 }; }
}

function write(kept) {
  localStorage.setItem(place, JSON.stringify(kept));
  undelivered = kept.undelivered;
}

function headOf(said) { return { by: "you", at: said.at, labels: said.labels, fields: said.fields, note: said.note, drawn: desk.rows[said.row].drawn }; }

function store(said) {
  const kept = book(), entry = { ...said, at: new Date().toISOString() };
  (kept.said[said.row] ??= []).push(entry);
  kept.undelivered += 1;
  write(kept); // throws where the browser has no room, and then nothing was kept
  return { mark: null, seen: said.seen, said: [headOf(entry)] };
}

function unstore(which) {
  const kept = book(), list = kept.said[which] ?? [];
  if (list.at(-1)?.delivered) { complain("That decision was delivered already: go back to its row, and decide anew."); return null; }
  list.pop();
  if (!list.length) delete kept.said[which];
  kept.undelivered -= 1;
  write(kept);
  desk.rows[which].said = list.length ? [headOf(list.at(-1))] : first.get(which);
  return { mark: null };
}

function delivered() { // a line for each row, as `sluice review --import` takes them
  return Object.entries(book().said).map(([which, list]) => {
    const said = list.at(-1), about = desk.rows[which];
    const line = { source: about.source, line: about.line, run_id: about.run_id, drawn: about.drawn, seen: said.seen, at: said.at, note: said.note };
    if (said.labels !== null) line.corrected_labels = said.labels;
    for (const [name, value] of Object.entries(said.fields)) line[`corrected_${name}`] = value;
    return JSON.stringify(line);
  }).join("\n") + "\n";
}

async function deliver() {
  const name = `review-${desk.task}.jsonl`, data = new Blob([delivered()], { type: "application/jsonl" });
  if (window.showSaveFilePicker) {
    try {
      const file = await (await showSaveFilePicker({ suggestedName: name })).createWritable();
      await file.write(data);
      await file.close();
    } catch (error) { if (error.name !== "AbortError") complain(`Not saved: ${error.message}`); return; }
  } else {
    const link = element("a");
    link.href = URL.createObjectURL(data);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  const kept = book();
  for (const list of Object.values(kept.said)) list.at(-1).delivered = true;
  kept.undelivered = 0;
  write(kept);
  showProgress();
  complain(`Now: sluice review RUN --import ${name}`, true);
}

const first = new Map();

function takeUp() { // decisions of an earlier window of the same file
  desk.rows.forEach((each, n) => first.set(n, each.said));
  if (served) return;
  const kept = book();
  undelivered = kept.undelivered;
  for (const [which, list] of Object.entries(kept.said)) {
    desk.rows[which].said = [headOf(list.at(-1))];
    decided.set(Number(which), { kind: "decided", mark: null });
    history.push(Number(which));
    learn(Number(which));
  }
}

// A draft of what is not decided yet stays over a crash too, in both modes.

function drafts() { try { return JSON.parse(sessionStorage.getItem(place)) ?? {}; } catch { return {}; } }
function keepDraft() { const all = drafts(); all[number()] = { labels: many ? [...chosen] : undefined, note: $("note").value, fields: fieldValues() }; try { sessionStorage.setItem(place, JSON.stringify(all)); } catch { /* a draft alone */ } }
function dropDraft(which) { const all = drafts(); delete all[which]; try { sessionStorage.setItem(place, JSON.stringify(all)); } catch { /* a draft alone */ } }

// Keys.

// With a finger labels are tapped: a keyboard on the screen would cover them.
const tapped = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

function focusFirst() { (tapped() ? $("row") : names.length ? $("search") : $("fields").querySelector("input, select, textarea") ?? $("row")).focus({ preventScroll: true }); }

function unfold(open) { // what a phone shows on demand
  $("decide").classList.toggle("open", open);
  $("more").setAttribute("aria-expanded", String(open));
  $("more").textContent = open ? "Less" : "More";
}

function move(by) {
  const to = at + by;
  if (to >= 0 && to < rows().length) { at = to; show(); }
}

document.addEventListener("keydown", (event) => {
  const inSearch = event.target === $("search"), empty = inSearch && !$("search").value, writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const free = empty || !writing;
  let done = true;
  if (event.isComposing) return;
  if (busy && inSearch) { // a key that came too early is for the next row, and never for half of a label
    if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) ahead += event.key;
    event.preventDefault();
    return;
  }
  if (event.altKey && event.code === "KeyS") skip();
  else if (event.altKey && event.code === "KeyN") { unfold(true); $("note").focus(); }
  else if (event.altKey && event.code === "KeyQ") openQueue((queue + 1) % Math.max(1, desk.queues.length));
  else if ((event.ctrlKey || event.metaKey) && event.key === "Enter") save();
  else if ((event.ctrlKey || event.metaKey) && event.code === "KeyZ" && free) undo();
  else if (event.altKey || event.ctrlKey || event.metaKey) return;
  else if (event.key === "Escape") { if (inSearch) { $("search").value = ""; search(); } focusFirst(); }
  else if (event.key === "ArrowRight" && free) move(1);
  else if (event.key === "ArrowLeft" && free) move(-1);
  else if (inSearch && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const last = Math.min(shown.length, LISTED) - 1;
    pick = Math.max(0, Math.min(last, pick + (event.key === "ArrowDown" ? 1 : -1)));
    showLabels();
  } else if (event.key === "Enter" && inSearch) { if (event.repeat) return event.preventDefault(); if (many) toggle(); else save(); }
  else if (event.key === "Enter" && event.target.tagName === "INPUT") save();
  else if (!writing && names.length && event.key.length === 1 && event.key !== " ") { $("search").focus({ preventScroll: true }); done = false; }
  else done = false;
  if (done) event.preventDefault();
});

$("search").addEventListener("input", search);
$("more").addEventListener("click", () => unfold(!$("decide").classList.contains("open")));
$("note").addEventListener("input", () => { keepDraft(); });
$("fields").addEventListener("submit", (event) => event.preventDefault());
for (const [id, act] of Object.entries({ save, back: () => move(-1), next: () => move(1), skip, undo, deliver })) $(id).addEventListener("click", act);
addEventListener("beforeunload", (event) => { if (busy || undelivered) event.preventDefault(); });

$("task").textContent = visible(desk.task);
$("run").textContent = visible(desk.run) + (served ? ` · reviewed by ${visible(desk.by)}` : " · from a file: save your decisions at the end");
$("choice").hidden = !names.length;
unfold(!names.length);
$("several").hidden = !many;
$("choice").classList.toggle("many", many);
$("problems").hidden = !desk.problems.length;
$("problems").textContent = visible(desk.problems.join(" · "));
takeUp();
for (const each of desk.settled) learn(each);
openQueue(0);
