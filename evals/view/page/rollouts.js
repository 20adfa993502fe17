// What a step trained on: rewards by component, advantages, and how likely each token was.
import { ask, choice, count, el, field, number, pages, shown } from "./dom.js";
import { body } from "./samples.js";

export async function rolloutsPage(query, go, places) {
  const page = await ask("rollouts", query);
  if (!page.steps.length) {
    return [places, el("p", {}, "No rollouts were kept: monitor.keep_rollouts=N in the recipe or on the command line keeps those of the last N steps.")];
  }
  const set = (changes) => go("rollouts", { ...query, offset: null, ...changes });
  const controls = el(
    "div", { class: "row" },
    choice("step", "step", [...page.steps].reverse().map((at) => [at, at]), page.step, (at) => set({ step: at })),
    field("search", "search", query.search, (search) => set({ search })),
    el("span", { class: "scale", title: "log-prob of a token as it was sampled" }, "unlikely ", el("i", { class: "p5" }), el("i", { class: "p4" }), el("i", { class: "p3" }), el("i", { class: "p2" }), el("i", { class: "p1" }), " likely token"),
  );
  return [places, controls, ...page.groups.map(group), pages("rollouts", { ...query, step: page.step }, page.offset, page.page, page.total)];
}

function group(one) {
  return el(
    "section", { class: "group" },
    el("h2", {}, "Problem ", shown(one.problem), el("small", {}, `, mean reward ${number(one.reward)}`)),
    el("pre", { class: "quiet" }, shown(one.prompt)),
    el("div", { class: "rollouts" }, one.rows.map(rollout)),
  );
}

function rollout(row) {
  const parts = Object.entries(row.components).map(([name, value]) => el("span", { class: "tag" }, shown(name), ` ${number(value)}`));
  const sign = row.advantage == null ? "" : row.advantage > 0 ? "up" : row.advantage < 0 ? "down" : "";
  return el(
    "article", { class: `sample ${row.status}`, dir: "ltr" },
    el(
      "header", {}, `#${row.index}`,
      el("span", { class: `verdict ${row.status}` }, row.status.replace("_", " ")),
      el("b", {}, `reward ${number(row.reward)}`),
      el("span", { class: `advantage ${sign}` }, row.advantage == null ? "not trained on" : `advantage ${number(row.advantage)}`),
      ...parts,
      row.sound === false ? el("span", { class: "tag unsound" }, "wrong step") : null,
      el("span", { class: "quiet" }, `${count(row.trained)} of ${count(row.tokens)} tokens trained on`),
    ),
    row.turns || !row.tokens_shown ? body(row, null) : el("pre", {}, row.tokens_shown.map(token)),
  );
}

function token([text, logprob]) {
  const level = logprob > -0.05 ? 1 : logprob > -0.7 ? 2 : logprob > -1.6 ? 3 : logprob > -3 ? 4 : 5;
  const made = shown(text, `p${level}`);
  made.title = `${number(logprob)} (p ${Math.exp(logprob).toFixed(3)})`;
  return made;
}
