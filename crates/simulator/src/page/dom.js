// Making elements, and nothing cleverer than that.

/** Makes an element: `el("p", { className: "note", "data-testid": "x" }, "text", child)`. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child || child === 0));
  return element;
}

/** A button. `testid` names it for the tests. */
export function button(className, testid, onPress, ...content) {
  const element = el("button", { type: "button", className, "data-testid": testid }, content);
  element.addEventListener("click", () => onPress());
  return element;
}

/** A small button. */
export const chip = (testid, label, onPress) => button("chip", testid, onPress, label);

/** Buttons under a label that is also read aloud. */
export function group(label, ...buttons) {
  return el("div", { className: "buttons", role: "group", "aria-label": label }, el("span", { className: "small" }, label), buttons);
}

/** The element with this id; the page is static, so a missing one is a mistake in index.html. */
export const byId = (id) => document.getElementById(id);

/** `draw`, but only when `shows` says something else or the language has changed: focus and what is read aloud are not lost. */
export function onChange(shows, draw) {
  let last;
  return (view) => {
    const next = JSON.stringify([document.documentElement.lang, shows(view)]);
    if (next !== last) draw(view);
    last = next;
  };
}

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

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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
