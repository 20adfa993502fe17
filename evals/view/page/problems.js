// Problem by problem: base against policy, and which were gained and lost.
import { ask, choice, count, el, field, link, pages, percent, shown } from "./dom.js";
import { svg } from "./chart.js";
import { scrolled } from "./runs.js";

const KINDS = { gained: "gained", lost: "lost", both: "solved by both", neither: "by neither", wrong_reason: "right for a wrong reason" };

export async function problemsPage(query, go, places) {
  const page = await ask("problems", query);
  const set = (changes) => go("problems", { ...query, offset: null, ...changes });
  const cards = Object.entries(KINDS).map(([kind, name]) =>
    el("button", { type: "button", class: `card ${kind}`, "aria-pressed": String(query.kind === kind), onclick: () => set({ kind: query.kind === kind ? null : kind, cell: null }) }, el("b", {}, count(page.kinds[kind])), el("span", {}, name)),
  );
  const sort = choice("sort by", "order", [["problem", "the file's order"], ["base", "base"], ["policy", "policy"], ["change", "change"]], query.order ?? "problem", (order) => set({ order }));
  const way = choice("from", "down", [["", "the lowest"], ["1", "the highest"]], query.down ?? "", (down) => set({ down: down || null }));
  const search = field("search", "search", query.search, (text) => set({ search: text || null, cell: null }));
  const rest = query.cell ? el("button", { type: "button", onclick: () => set({ cell: null }) }, "all places of the plot") : null;
  const rows = page.rows.map((row) => {
    const kept = { run: query.run, task: query.task, step: query.step };
    return el(
      "tr", { class: row.kind },
      el("td", {}, el("a", { href: link("samples", { ...kept, problem: row.problem }) }, shown(row.problem))),
      el("td", { class: "n", "data-label": "base" }, rate(row.base)),
      el("td", { class: "n", "data-label": "policy" }, rate(row.policy)),
      el("td", {}, KINDS[row.kind], row.wrong_reason ? el("span", { class: "tag wrong_reason" }, "wrong reason") : null),
      el("td", { class: "text" }, shown(row.prompt)),
    );
  });
  const heads = ["problem", "base", "policy", "", "prompt"].map((head) => el("th", { scope: "col", class: /base|policy/.test(head) ? "n" : null }, head));
  return [
    places,
    el("div", { class: "cards" }, cards),
    el(
      "div", { class: "split" },
      el("section", {}, el("h2", {}, "Solve rates"), plot(page.cells, query, set)),
      el(
        "section", {},
        el("div", { class: "row" }, el("h2", {}, `${count(page.selected)} of ${count(page.total)} problems`), sort, way, search, rest),
        scrolled(el("table", { class: "list" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))),
        pages("problems", query, page.offset, page.page, page.selected),
      ),
    ),
  ];
}

function rate([n, right]) {
  return n ? el("span", {}, percent(right / n), el("small", {}, ` ${right}/${n}`)) : "–";
}

function plot(cells, query, set) {
  const [size, left, low] = [330, 50, 40];
  const at = (share) => share * (size - left - 12);
  const drawing = svg("svg", { viewBox: `0 0 ${size} ${size}`, class: "scatter", role: "img", "aria-label": "solve rate of the policy against that of the base" });
  const bottom = size - low;
  for (const share of [0, 0.5, 1]) {
    drawing.append(
      svg("line", { x1: left + at(share), x2: left + at(share), y1: bottom, y2: bottom - at(1), class: "grid" }),
      svg("line", { x1: left, x2: left + at(1), y1: bottom - at(share), y2: bottom - at(share), class: "grid" }),
      svg("text", { x: left + at(share), y: bottom + 19, "text-anchor": "middle" }, String(100 * share)),
      svg("text", { x: left - 12, y: bottom - at(share) + 4, "text-anchor": "end" }, String(100 * share)),
    );
  }
  drawing.append(
    svg("line", { x1: left, y1: bottom, x2: left + at(1), y2: bottom - at(1), class: "diagonal" }),
    svg("text", { x: left + at(0.5), y: size - 4, "text-anchor": "middle" }, "base, % of its samples right"),
    svg("text", { x: 11, y: bottom - at(0.5), "text-anchor": "middle", transform: `rotate(-90 11 ${bottom - at(0.5)})` }, "policy"),
  );
  const most = Math.max(1, ...cells.map(([, , number]) => number));
  for (const [base, policy, number, b, p] of cells) {
    const kind = base === 0 && policy > 0 ? "gained" : base > 0 && policy === 0 ? "lost" : base === 0 ? "neither" : "both";
    const cell = `${b},${p}`;
    const dot = svg("circle", { cx: left + at(base), cy: bottom - at(policy), r: 2.5 + 7 * Math.sqrt(number / most), class: `spot ${kind}${query.cell === cell ? " chosen" : ""}` });
    dot.append(svg("title", {}, `${number} problem${number > 1 ? "s" : ""}: base ${percent(base)}, policy ${percent(policy)}`));
    dot.addEventListener("click", () => set({ cell: query.cell === cell ? null : cell }));
    drawing.append(dot);
  }
  return drawing;
}
