// Everything the page says, in the language that it is in.

import { en } from "./words-en.js";
import { zh } from "./words-zh.js";

/** The words of the language that the page is in. */
export const words = () => (document.documentElement.lang.startsWith("zh") ? zh : en);
