// One metric of several runs as lines. Values of the step under the pointer are read below the title.
import { el, number } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 190, 46, 10, 8, 22];

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function ticks(low, high, most = 5) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const every = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= rough);
  const found = [];
  for (let at = Math.ceil(low / every - 1e-9) * every; at <= high + every * 1e-9; at += every) found.push(at);
  return found;
}

// series: [{name, colour (1..8), xs, ys}]; ys may hold null.
export function chart(title, series) {
  const points = series.flatMap(({ xs, ys }) => xs.map((x, i) => [x, ys[i]]).filter(([, y]) => y != null));
  const read = el("p", { class: "read" }, "\u00a0");
  const figure = el("figure", {}, el("figcaption", {}, title), read);
  if (!points.length) return figure;
  let [low, high] = span(points.map(([, y]) => y));
  const [first, last] = span(points.map(([x]) => x), false);
  const x = (value) => LEFT + ((value - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const value of ticks(low, high, 4)) {
    drawing.append(
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
      svg("text", { x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" }, number(+value.toPrecision(6))),
    );
  }
  for (const value of ticks(first, last, 4)) {
    drawing.append(svg("text", { x: x(value), y: HEIGHT - 6, "text-anchor": "middle" }, number(+value.toPrecision(6))));
  }
  for (const { colour, xs, ys } of series) {
    let path = "";
    let pen = "M";
    xs.forEach((at, i) => {
      if (ys[i] == null) pen = "M";
      else {
        path += `${pen}${x(at).toFixed(1)} ${y(ys[i]).toFixed(1)}`;
        pen = "L";
      }
    });
    drawing.append(svg("path", { d: path, class: `line c${colour}` }));
    if (xs.length <= 12) {
      xs.forEach((at, i) => ys[i] != null && drawing.append(svg("circle", { cx: x(at), cy: y(ys[i]), r: 2.4, class: `dot c${colour}` })));
    }
  }
  const cursor = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
  drawing.append(cursor);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = first + ((((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT)) * (last - first);
    const known = [...new Set(points.map(([value]) => value))];
    const nearest = known.reduce((best, value) => (Math.abs(value - at) < Math.abs(best - at) ? value : best));
    cursor.setAttribute("x1", x(nearest));
    cursor.setAttribute("x2", x(nearest));
    cursor.setAttribute("visibility", "visible");
    const values = series.map(({ colour, xs, ys }) => el("b", { class: `c${colour}` }, number(ys[xs.indexOf(nearest)])));
    read.replaceChildren(`step ${nearest}: `, ...values.flatMap((value) => [value, " "]));
  });
  drawing.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    read.textContent = "\u00a0";
  });
  figure.append(drawing);
  return figure;
}

function span(values, padded = true) {
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  if (!padded) return [low, high];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const room = (high - low) * 0.06;
  return [low >= 0 && low < 0.4 * high ? 0 : low - room, high + room];
}
