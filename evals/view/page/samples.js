// The samples of base and policy beside each other.
import { ask, choice, count, el, field, link, number, pages, shown, step } from "./dom.js";

const SIDES = ["base", "policy"];

export async function samplesPage(query, go, places) {
  const set = (changes) => go("samples", { ...query, offset: null, index: null, ...changes });
  const any = ["", "any"];
  const controls = el(
    "div", { class: "row" },
    field("problem", "problem", query.problem, (problem) => set({ problem: problem || null })),
    choice("verdict", "status", [any, ["correct", "correct"], ["wrong", "wrong"], ["unparsed", "unparsed"], ["timed_out", "timed out"]], query.status, (status) => set({ status })),
    choice("sound", "sound", [any, ["yes", "yes"], ["no", "a wrong step"], ["open", "undecided"]], query.sound, (sound) => set({ sound })),
    choice("ended", "finish", [any, ["stop", "by itself"], ["length", "at the limit"], ["failed", "failed"]], query.finish, (finish) => set({ finish })),
    field("answer has", "answer", query.answer, (answer) => set({ answer })),
    choice("sort by", "order", [["index", "index"], ["longest", "longest"], ["shortest", "shortest"], ["likeliest", "likeliest"]], query.order ?? "index", (order) => set({ order })),
  );
  const asked = query.side ? [query.side] : SIDES;
  const found = await Promise.all(asked.map((side) => ask("samples", { ...query, side }).then((page) => ({ side, page }), (error) => ({ side, error: error.message }))));
  const about = query.problem ? await posed(query) : null;
  return [places, controls, about, el("div", { class: asked.length > 1 ? "sides" : "" }, found.map((one) => column(one, query, set)))];
}

async function posed(query) {
  const { rows } = await ask("problems", { run: query.run, task: query.task ?? "", step: query.step ?? "", problem: query.problem }).catch(() => ({ rows: [] }));
  const [row] = rows;
  if (!row) return null;
  return el("section", { class: "posed" }, el("h2", {}, "Problem ", shown(row.problem)), el("pre", {}, shown(row.prompt)), el("p", {}, "reference: ", el("code", {}, shown(row.reference))));
}

function column({ side, page, error }, query, set) {
  if (error) return el("section", {}, el("h2", {}, side), el("p", { class: "bad" }, shown(error)));
  const folded = page.distinct == null ? "" : `, ${count(page.distinct)} different`;
  const kept = Object.fromEntries(Object.entries({ ...query, side }).filter(([, value]) => value));
  const wide = query.side ? el("a", { href: link("samples", { ...query, side: null, offset: null }) }, "both sides") : el("a", { href: link("samples", { ...query, side, offset: null }) }, "this side alone");
  return el(
    "section", {},
    el("div", { class: "row" }, el("h2", {}, `${side === "base" ? "Base" : "Policy"}: ${count(page.total)} sample${page.total === 1 ? "" : "s"}${folded}`), wide, el("a", { href: `/export?${new URLSearchParams(kept)}`, download: true }, "jsonl")),
    page.rows.map((row) => sample(row, { ...query, side })),
    pages("samples", query, page.offset, page.page, page.distinct ?? page.total),
  );
}

function sample(row, query) {
  const here = { run: query.run, task: query.task, step: query.step, problem: row.problem, side: query.side, index: row.index };
  const chosen = query.index != null && String(query.index) === String(row.index);
  const facts = [
    row.copies > 1 ? el("span", { class: "tag" }, `× ${row.copies}`) : null,
    row.sound === false ? el("span", { class: "tag unsound" }, "wrong step") : null,
    row.finish_reason === "length" ? el("span", { class: "tag" }, "cut at the limit") : row.finish_reason === "failed" ? el("span", { class: "tag" }, "failed") : null,
    el("span", { class: "quiet" }, `${count(row.tokens)} tokens, log-prob ${number(row.logprob)}`),
  ];
  const answer = row.extracted == null ? "no answer found" : el("span", {}, "answer ", el("code", {}, shown(row.extracted)));
  return el(
    "article", { class: `sample ${row.status}${chosen ? " chosen" : ""}`, dir: "ltr" },
    el("header", {}, el("a", { href: link("samples", here), title: "a link to this sample" }, query.problem ? `#${row.index}` : shown(`${row.problem} #${row.index}`)), el("span", { class: `verdict ${row.status}` }, row.status.replace("_", " ")), answer, ...facts, copy(here, row)),
    body(row, here),
  );
}

function copy(here, row) {
  const text = `${here.run} ${step(here.step)} ${here.task} problem ${row.problem} ${here.side} sample ${row.index}: ${row.status}\n${location.origin}/${link("samples", here)}`;
  const button = el("button", { type: "button", class: "small", title: text }, "copy link");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text).catch(() => {});
    button.textContent = "copied";
  });
  return button;
}

export function body(row, here) {
  if (row.turns?.length) return el("div", {}, row.turns.map((turn, i) => turnOf(turn, i)));
  if (row.text == null) return el("p", { class: "bad" }, shown(row.gone ?? "no text is stored"));
  const parts = row.parts ? row.parts.map(([text, wrong]) => shown(text, wrong ? "wrongstep" : "")) : [shown(row.text)];
  const made = el("pre", {}, parts);
  if (row.length <= row.text.length) return made;
  const more = el("button", { type: "button" }, `${count(row.text.length)} of ${count(row.length)} characters: show all`);
  if (here) {
    more.addEventListener("click", async () => {
      const whole = await ask("sample", here).catch((error) => ({ text: error.message }));
      made.replaceChildren(shown(whole.text));
      more.remove();
    });
  }
  return el("div", {}, made, here ? more : el("p", { class: "quiet" }, more.textContent.replace(": show all", "")));
}

export function turnOf(turn, i) {
  const reward = turn.reward ? `, reward ${number(turn.reward)}` : "";
  return el(
    "div", { class: "turn" },
    el("h4", {}, `${i + 1}. policy, ${count(turn.end - turn.start)} tokens, trained on${reward}`),
    el("pre", {}, shown(turn.text)),
    turn.observation ? el("h4", { class: "quiet" }, "environment") : null,
    turn.observation ? el("pre", { class: "observed" }, shown(turn.observation)) : null,
  );
}
