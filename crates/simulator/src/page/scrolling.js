// Brings what happens into view, and the reader back to where they were.

const STAY = 1500; // ms that the end of a login is looked at
const LONGEST_GLIDE = 1000; // ms
const FRAME = 30; // ms

let place = null; // where the reader was, and where they were brought: { from, to }
let leaving = 0;

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const glide = () => ({ behavior: still() ? "instant" : "smooth" });

/** Resolves when `element` is in view, as much of it as the window holds. */
export async function bringIntoView(element) {
  clearTimeout(leaving);
  scrollTo({ top: scrollY, behavior: "instant" }); // ends a glide that is under way
  const from = isWhereBrought() ? place.from : scrollY;
  const isTall = element.offsetHeight > innerHeight;
  if (!isInView(element)) element.scrollIntoView({ block: isTall ? "start" : "nearest", ...glide() });
  const latest = performance.now() + LONGEST_GLIDE;
  while (!isInView(element) && performance.now() < latest) await new Promise((resolve) => setTimeout(resolve, FRAME));
  place = { from, to: scrollY };
}

/** Whether all of it is in view, or of what is taller than the window, the beginning; half pixels do not count. */
function isInView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return top > -1 && (bottom < innerHeight + 1 || (bottom - top > innerHeight && top < 1));
}

/** Scrolls at once, and only as far as it needs. */
export function keepInView(element) {
  element.scrollIntoView({ block: "nearest", behavior: "instant" });
  if (place) place.to = scrollY;
}

/** After a while, goes back to where the reader was, unless they have scrolled meanwhile. */
export function goBackLater() {
  leaving = setTimeout(() => {
    if (isWhereBrought()) scrollTo({ top: place.from, ...glide() });
    place = null;
  }, STAY);
}

/** Whether the reader has not scrolled since. */
const isWhereBrought = () => place !== null && Math.abs(scrollY - place.to) < 2;
