// Code with its comments, strings, numbers and usual words set apart: near enough for every language that is shown here.

import { el } from "./dom.js";

const WORDS =
  "abstract as async await bool boolean break case catch class const continue def default defer else enum except export extends false final finally fn for from func function go if implements import in int interface let long loop match mod module move mut new nil None null package private pub public raise record return self static string struct switch this throw throws true True False try type use val var void while with yield";
const KINDS = [
  ["comment", /\/\*[\s\S]*?\*\/|(?<![:\w"'])\/\/[^\n]*|(?<=^|\s)#(?!\[)[^\n]*/],
  ["string", /"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'|`(?:\\.|[^`\\])*`/],
  ["word", new RegExp(`\\b(?:${WORDS.split(" ").join("|")})\\b`)],
  ["name", /(?:(?<=^|\n)[A-Z][A-Z0-9_]+(?==)|@\w+|\B--?[a-z][\w-]*)/],
  ["figure", /\b\d[\d_.]*\b/],
];
const PATTERN = new RegExp(KINDS.map(([kind, { source }]) => `(?<${kind}>${source})`).join("|"), "gm");

/** The text in pieces, for an element: those of `KINDS` are spans of that class. */
export function highlighted(text) {
  const pieces = [];
  let at = 0;
  for (const { 0: piece, index, groups } of text.matchAll(PATTERN)) {
    const [kind] = Object.entries(groups).find(([, found]) => found !== undefined);
    pieces.push(text.slice(at, index), el("span", { className: kind }, piece));
    at = index + piece.length;
  }
  return [...pieces, text.slice(at)];
}
