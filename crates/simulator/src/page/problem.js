// Why the latest attempt failed, and what a mini program does then.

import { byId, el, onChange } from "./dom.js";
import { words } from "./words.js";

/** What a problem's code means, in words: headline and what the mini program does. */
export const adviceFor = (code) => (Object.hasOwn(words().advice, code) ? words().advice[code] : words().advice.other);

export const drawProblem = onChange(({ failure }) => failure?.id, ({ failure }) => {
  const box = byId("problem");
  box.hidden = !failure;
  box.dataset.code = failure?.code ?? "";
  if (!failure) return box.replaceChildren();
  const { code, answer } = failure;
  const wait = answer?.headers["retry-after"];
  const facts = [answer?.status, code, wait && `Retry-After: ${wait}`].filter(Boolean);
  const [headline, advice] = adviceFor(code);
  const codes = el("span", { className: "codes" }, facts.map((fact) => el("code", {}, String(fact))));
  box.replaceChildren(el("strong", {}, headline), codes, el("p", { className: "small" }, `${words().shouldDo} ${advice}`));
});
