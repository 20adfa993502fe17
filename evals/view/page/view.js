// Which page is shown, and what it is asked about: all of it stands in the address, so that it can be shared.
import { ask, brief, choice, el, link, named, shown, step } from "./dom.js";
import { problemsPage } from "./problems.js";
import { rolloutsPage } from "./rollouts.js";
import { runsPage } from "./runs.js";
import { samplesPage } from "./samples.js";

const PAGES = { "": "Runs", problems: "Problems", samples: "Samples", rollouts: "Rollouts" };
const EVERY = 5000; // milliseconds between looks at runs
const main = document.querySelector("main");
const state = document.getElementById("state");
let drawn = 0;
let before = "";

function where() {
  const [page, text] = location.hash.replace(/^#\/?/, "").split("?");
  const given = new URLSearchParams(text ?? "");
  const query = Object.fromEntries([...given].filter(([key]) => key !== "run"));
  return { page: page in PAGES ? page : "", query, runs: given.getAll("run") };
}

function go(page, query) {
  const { run, ...rest } = query;
  const runs = Array.isArray(run) ? run : run ? [run] : [];
  const given = [...runs.map((one) => ["run", one]), ...Object.entries(rest).filter(([, value]) => value != null && value !== "")];
  location.hash = `/${page}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

function menu(page, run) {
  const links = Object.entries(PAGES).map(([name, title]) =>
    el("a", { href: link(name, { run: name ? run : null }), "aria-current": name === page ? "page" : null }, title),
  );
  document.querySelector("nav").replaceChildren(...links);
}

// The menus that choose run, task and step, filled in where the address leaves them out.
async function placesOf(page, query, asked) {
  const { runs } = await ask("runs", {});
  named(runs.map((run) => run.name));
  const readable = runs.filter((run) => !run.error);
  const name = asked ?? readable[0]?.name;
  if (!name) throw new Error("no run can be read here");
  const run = await ask("run", { run: name });
  const full = { ...query, run: name };
  const controls = [choice("run", "run", readable.map((one) => [one.name, brief(one.name)]), name, (other) => go(page, { run: other }))];
  if (page !== "rollouts") {
    const tasks = Object.keys(run.measurements);
    if (!tasks.length) throw new Error(`${name} has no samples yet`);
    full.task = query.task ?? tasks[0];
    const steps = run.measurements[full.task] ?? [];
    full.step = query.step ?? String(steps.at(-1) ?? "");
    const other = (changes) => go(page, { run: name, task: full.task, step: full.step, problem: page === "samples" ? query.problem : null, ...changes });
    controls.push(choice("task", "task", tasks.map((task) => [task, task]), full.task, (task) => go(page, { run: name, task })));
    controls.push(choice("at", "step", steps.map((at) => [at, step(at)]), full.step, (at) => other({ step: at })));
    const there = page === "problems" ? "samples" : "problems";
    controls.push(el("a", { href: link(there, { run: name, task: full.task, step: full.step }) }, page === "problems" ? "all samples" : "all problems"));
  }
  return { full, places: el("div", { class: "row places" }, controls) };
}

async function draw(again = false) {
  const mine = ++drawn;
  const { page, query, runs } = where();
  menu(page, runs[0]);
  state.textContent = again ? "" : "…";
  let made;
  try {
    if (page === "") made = await runsPage({ ...query, run: runs }, go);
    else {
      const { full, places } = await placesOf(page, query, runs[0]);
      made = await { problems: problemsPage, samples: samplesPage, rollouts: rolloutsPage }[page](full, go, places);
    }
  } catch (error) {
    made = [el("p", { class: "bad" }, shown(error.message))];
    if (again) return void (state.textContent = "the server does not answer");
  }
  if (mine !== drawn) return;
  state.textContent = "";
  const place = scrollY;
  main.replaceChildren(...made.filter(Boolean));
  scrollTo(0, again || before === page ? place : 0);
  before = page;
  document.title = `${PAGES[page]} - rlvr view`;
  main.dataset.drawn = String(mine);
  document.querySelector("article.chosen")?.scrollIntoView({ block: "center" });
}

addEventListener("hashchange", () => draw());
setInterval(() => {
  const busy = main.matches(":hover") && document.querySelector(".cursor[visibility=visible]");
  if (where().page === "" && !document.hidden && !busy) draw(true);
}, EVERY);
draw();
