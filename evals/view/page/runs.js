// Runs as they go: which there are, how far, and their curves over each other.
import { ask, brief, choice, count, el, link, named, number, percent, shown, signed, step } from "./dom.js";
import { chart } from "./chart.js";

const FIRST = [
  "rollout/reward", "rollout/correct", "time/samples_per_second", "mismatch/mean", "rollout/length", "rollout/entropy",
  "rollout/unparsed", "rollout/truncated", "time/step",
];

export async function runsPage(query, go) {
  const { runs } = await ask("runs", {});
  named(runs.map((run) => run.name));
  const readable = runs.filter((run) => !run.error);
  const chosen = query.run.length ? query.run : readable.slice(0, 1).map((run) => run.name);
  const many = await Promise.all(
    chosen.map((name) => ask("run", { run: name }).then((run) => ({ name, ...run }), (error) => ({ name, error: error.message }))),
  );
  const good = many.filter((run) => !run.error);
  return [
    list(runs, chosen, go),
    ...many.filter((run) => run.error && !runs.some((one) => one.name === run.name && one.error)).map((run) => el("p", { class: "bad" }, shown(`${brief(run.name)}: ${run.error}`))),
    ...good.flatMap((run) => notices(run)),
    ...good.filter((run) => run.records.length).map(table),
    good.length ? curves(good, query, go) : null,
    ...good.filter((run) => !run.records.length).map(table),
  ];
}

function list(runs, chosen, go) {
  const toggled = (name) => go("", { run: chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name] });
  const rows = runs.map((run) => {
    const at = chosen.indexOf(run.name);
    const box = el("input", { type: "checkbox", checked: at >= 0, disabled: Boolean(run.error), "aria-label": `show ${run.name}`, onchange: () => toggled(run.name) });
    const key = el("span", { class: `key c${at >= 0 ? (at % 8) + 1 : 0}` });
    if (run.error) return el("tr", { class: "bad" }, el("td", {}, box), el("td", { title: run.name }, shown(brief(run.name))), el("td", { colspan: 5 }, shown(run.error)));
    return el(
      "tr", {},
      el("td", {}, box, key),
      el("td", { title: run.name }, el("a", { href: link("", { run: run.name }) }, shown(brief(run.name)))),
      el("td", {}, shown([run.algorithm, run.task].filter(Boolean).join(" on "))),
      el("td", { class: "n", "data-label": "step" }, run.steps == null ? "–" : `${count(run.step)} / ${count(run.steps)}`),
      el("td", {}, run.steps == null ? "measured" : run.finished ? "finished" : ago(run.changed)),
      el("td", { class: "n", "data-label": "gap" }, percent(run.gap)),
      el("td", { class: "n", "data-label": "seed" }, run.seed ?? "–"),
    );
  });
  const heads = ["", "run", "what", "step", "state", "gap", "seed"].map((head) => el("th", { scope: "col", class: /step|gap|seed/.test(head) ? "n" : null }, head));
  const none = runs.length ? null : el("p", {}, "No run is here yet.");
  return el("section", {}, el("h1", {}, "Runs"), none, scrolled(el("table", { class: "list" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
}

function ago(seconds) {
  if (seconds == null) return "begun";
  const past = Math.max(0, Date.now() / 1000 - seconds);
  const text = past < 120 ? `${past.toFixed(0)} s` : past < 7200 ? `${(past / 60).toFixed(0)} min` : `${(past / 3600).toFixed(0)} h`;
  return `changed ${text} ago`;
}

function notices(run) {
  const alarms = run.alarms.map((alarm) => {
    const when = alarm.first == null ? "" : alarm.first === alarm.last ? `, step ${alarm.first}` : `, ${count(alarm.steps)} steps from ${alarm.first} to ${alarm.last}`;
    const worst = alarm.worst == null ? "" : `, at worst ${number(alarm.worst)} (allowed ${number(alarm.threshold)})`;
    return el("li", {}, el("b", {}, alarm.name), `${when}${worst}: ${alarm.advice}`);
  });
  const said = run.warnings.map((text) => el("li", {}, shown(text)));
  if (!alarms.length && !said.length) return [];
  return [el("section", { class: "alarms" }, el("h2", {}, "Alarms: ", shown(brief(run.name))), el("ul", {}, alarms, said))];
}

function curves(runs, query, go) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))];
  const probed = names.filter((name) => name.startsWith("probe/")).sort();
  const usual = [...probed.filter((name) => /gap$|pass@1$/.test(name) && !/sound/.test(name)), ...FIRST.filter((name) => names.includes(name))];
  const shownNames = query.all ? [...probed, ...names.filter((name) => !probed.includes(name))] : usual;
  const figures = shownNames.map((name) => {
    const series = runs
      .map((run, i) => ({ name: run.name, colour: (i % 8) + 1, xs: run.curves[name]?.[0] ?? [], ys: run.curves[name]?.[1] ?? [] }))
      .filter(({ xs }) => xs.length);
    return chart(name.replace(/^probe\//, ""), series);
  });
  const which = choice("curves", "all", [["", "the usual ones"], ["1", `all ${names.length}`]], query.all ?? "", (all) => go("", { run: query.run, all }));
  const keys = runs.length > 1 ? el("p", { class: "legend" }, runs.map((run, i) => el("span", {}, el("span", { class: `key c${(i % 8) + 1}` }), shown(brief(run.name))))) : null;
  return el("section", {}, el("div", { class: "row" }, el("h2", {}, "Curves"), which), keys, el("div", { class: "charts" }, figures));
}

function table(run) {
  const tasks = [...new Set(run.records.map((record) => record.task))];
  const made = tasks.map((task) => {
    const records = run.records.filter((record) => record.task === task);
    const k = records[0].k;
    const range = (pair, format = percent) => (pair && pair[0] != null ? `[${format(pair[0])}, ${format(pair[1])}]` : "");
    const rows = [
      ["samples", (r) => `${count(r.problems)} × ${r.n}`],
      ["pass@1", (r) => percent(r.pass_1), "strong"],
      ["change", (r) => (r.is_base ? "" : signed(r.change)), "", (r) => range(r.change_interval, signed)],
      [`pass@${k}`, (r) => percent(r.pass_k)],
      [`base @${k}`, (r) => percent(r.base_k)],
      ["gap", (r) => percent(r.gap), "strong", (r) => range(r.gap_interval)],
      ["closed", (r) => (r.closed == null ? "" : `${percent(r.closed)} %`)],
      ["gained / lost", (r) => (r.gained == null ? "" : `${r.gained} / ${r.lost}`)],
      ["both / neither", (r) => (r.is_base || r.both == null ? "" : `${r.both} / ${r.neither}`)],
      ["sound pass@1", (r) => (r.sound_1 == null ? "" : percent(r.sound_1))],
      ["wrong step", (r) => (r.unsound == null ? "" : `${percent(r.unsound)} %`)],
      ["truncated", (r) => `${percent(r.truncated)} %`],
      ["unparsed", (r) => `${percent(r.unparsed)} %`],
      ["timed out", (r) => (r.timed_out ? `${percent(r.timed_out)} %` : "")],
      ["duplicates", (r) => `${percent(r.duplicates)} %`],
    ].filter(([, cell]) => records.some((record) => cell(record)));
    const stem = task.replaceAll(":", "-").replaceAll("/", "-");
    const heads = records.map((record) => {
      const known = (run.measurements[stem] ?? []).includes(record.step) || (run.measurements[stem] ?? []).includes(-1);
      const at = (run.measurements[stem] ?? []).includes(-1) ? -1 : record.step;
      return el("th", { scope: "col" }, known ? el("a", { href: link("problems", { run: run.name, task: stem, step: at }) }, step(at)) : step(at));
    });
    const body = rows.map(([name, cell, weight, small]) =>
      el("tr", { class: weight || null }, el("th", { scope: "row" }, name), records.map((record) => el("td", { class: "n" }, cell(record), small && small(record) ? el("small", {}, small(record)) : null))),
    );
    return el("div", {}, el("h3", {}, shown(task), el("small", {}, " points of 100")), scrolled(el("table", { class: "gap" }, el("thead", {}, el("tr", {}, el("th", {}), heads)), el("tbody", {}, body))));
  });
  const rollouts = run.rollouts.length ? el("p", {}, el("a", { href: link("rollouts", { run: run.name }) }, `Rollouts of ${run.rollouts.length} step${run.rollouts.length > 1 ? "s" : ""}`), " that it trained on were kept.") : null;
  if (!tasks.length && !rollouts) return el("section", {}, el("h2", {}, "The gap: ", shown(brief(run.name))), el("p", {}, "Nothing has been probed yet."));
  return el("section", {}, el("h2", {}, "The gap: ", shown(brief(run.name))), rollouts, ...made);
}

export function scrolled(table) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table" }, table);
}
