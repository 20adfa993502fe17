// Elements, texts and questions. What a model wrote becomes text nodes alone, never markup.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

export async function ask(path, query) {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const got = await fetch(`/api/${path}?${new URLSearchParams(given)}`);
  let said;
  try {
    said = await got.json();
  } catch {
    said = { error: `${got.status} ${got.statusText}` };
  }
  if (!got.ok) throw new Error(said.error);
  return said;
}

// Characters that no font shows, or that turn the direction of what follows: control characters but line ends
// and tabs, marks of direction, and those without width.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

export function shown(text, kind = "") {
  const made = el("span", { class: kind || null });
  let place = 0;
  for (const match of text.matchAll(UNSEEN)) {
    made.append(text.slice(place, match.index));
    const code = match[0].charCodeAt(0);
    const picture = code < 32 ? String.fromCharCode(0x2400 + code) : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    made.append(el("span", { class: "unseen", title: `U+${code.toString(16).padStart(4, "0")}` }, picture));
    place = match.index + match[0].length;
  }
  made.append(text.slice(place));
  return made;
}

// Names of runs without the directories that all of them lie in.
let common = 0;

export function named(names) {
  const parts = names.map((name) => name.split("/").slice(0, -1));
  const shared = parts.length ? parts[0].findIndex((part, i) => parts.some((other) => other[i] !== part)) : 0;
  const depth = shared < 0 ? parts[0].length : shared;
  common = names.length ? names[0].split("/").slice(0, depth).join("/").length + (depth ? 1 : 0) : 0;
}

export const brief = (name) => name.slice(common);

export const percent = (share, digits = 1) => (share == null ? "–" : (100 * share).toFixed(digits));
export const signed = (share) => (share == null ? "–" : (share > 0 ? "+" : "") + percent(share));
export const count = (number) => (number == null ? "–" : number.toLocaleString("en"));

export function number(value) {
  if (value == null) return "–";
  if (Number.isInteger(value)) return count(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : value.toPrecision(4).replace(/\.?0+$/, "");
}

export function link(page, query) {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
  return `#/${page}${given.length ? `?${text}` : ""}`;
}

export function choice(label, name, options, chosen, change) {
  const made = el("select", { name, onchange: (event) => change(event.target.value) });
  for (const [value, text] of options) {
    made.append(el("option", { value, selected: String(value) === String(chosen ?? "") }, text));
  }
  return el("label", {}, el("span", {}, label), made);
}

export function field(label, name, value, change) {
  const made = el("input", { name, type: "search", value: value ?? "", autocomplete: "off", spellcheck: "false" });
  made.addEventListener("change", () => change(made.value));
  return el("label", {}, el("span", {}, label), made);
}

export function pages(page, query, offset, size, total) {
  if (total <= size) return null;
  const at = (place, text, off) =>
    off ? el("span", { class: "off" }, text) : el("a", { href: link(page, { ...query, offset: place || null }) }, text);
  return el(
    "nav", { class: "pages", "aria-label": "Pages of the list" },
    at(Math.max(0, offset - size), "← before", offset === 0),
    el("span", {}, `${count(offset + 1)} to ${count(Math.min(total, offset + size))} of ${count(total)}`),
    at(offset + size, "after →", offset + size >= total),
  );
}

export function step(value) {
  return Number(value) < 0 ? "model" : Number(value) === 0 ? "before training" : `step ${value}`;
}
