// Making elements, and nothing cleverer than that.

/** Makes an element: `el("p", { className: "note", "data-testid": "x" }, "text", child)`. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** A small button. `testid` names it for the tests. */
export function chip(testid, label, onPress) {
  const button = el("button", { type: "button", className: "chip", "data-testid": testid }, label);
  button.addEventListener("click", () => onPress());
  return button;
}

/** Buttons under a label that is also read aloud. */
export function group(label, ...buttons) {
  return el("div", { className: "buttons", role: "group", "aria-label": label }, el("span", { className: "small" }, label), buttons);
}

/** The element with this id; the page is static, so a missing one is a mistake in index.html. */
export const byId = (id) => document.getElementById(id);

/** Text of JSON with its member names set apart from its values. */
export function prettyJson(value) {
  const text = JSON.stringify(value, null, 2);
  return text.split(/("(?:[^"\\]|\\.)*"(?=: ))/).map((piece, n) => (n % 2 ? el("span", { className: "name" }, piece) : piece));
}

/** A number of milliseconds as people read them. */
export function duration(ms) {
  if (ms < 0.1) return "< 0.1 ms";
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** Resolves after `ms`; at once for people who asked for less motion. */
export function beat(ms) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return new Promise((resolve) => setTimeout(resolve, still ? 0 : ms));
}

/** Copies `text` and lets `button` say so for a moment; where copying is not allowed, selects `source` instead. */
export async function copyText(text, button, source, done) {
  try {
    await navigator.clipboard.writeText(text);
    const label = button.textContent;
    button.textContent = done;
    setTimeout(() => (button.textContent = label), 1600);
  } catch {
    getSelection().selectAllChildren(source);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A drawing of paths, each `[class, d]`; it says nothing to people who listen. */
export function drawing(viewBox, paths) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", viewBox);
  picture.setAttribute("aria-hidden", "true");
  for (const [name, d] of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", d);
    picture.append(path);
  }
  return picture;
}
