// Who may hold the phone, which mini programs are on it, and where each person stands with the business.

import { words } from "./words.js";

export const PEOPLE = ["lin", "chen", "wang", "new"];

/** The mini programs of one owner, by AppID. `wxmint demo` has the same ones. */
export const APPS = { tea: "wxc0ffee0000000001", bakery: "wxc0ffee0000000002" };

/** Their owner's official account. */
export const ACCOUNT = "wxc0ffee0000000003";

/** Whoever is not here, and has an account that is bound in both mini programs. */
export const AWAY = "zhou";

export const WRONG_PASSWORD = "not-the-password";

/** The id of a person never seen before. The name follows from it, so that it is the same after a reload. */
export function meetStranger() {
  const [surname, given] = crypto.getRandomValues(new Uint32Array(2));
  return `guest-${surname}-${given}`;
}

/** A person's name in the page's language. */
export function nameOf(id) {
  const { people, surnames, givenNames, fullName } = words();
  const [, surname, given] = /^guest-(\d+)-(\d+)$/.exec(id) ?? [];
  if (surname) return fullName(surnames[surname % surnames.length], givenNames[given % givenNames.length]);
  return people[id] ?? String(id);
}

/** The account that is the person's own: by its name, or by the phone number. */
export const accountOf = (accounts, id) => accounts.find((account) => account.owner === id);

/** Whether the person is bound in this mini program. */
export const isBound = (accounts, id, app) => linksOf(accounts, id).some((link) => link.appid === APPS[app]);

/** What the person may expect of a login there: a name among `words().standing`. */
export function standingOf(accounts, id, app) {
  if (isBound(accounts, id, app)) return "bound";
  if (linksOf(accounts, id).length) return "nextDoor";
  return accountOf(accounts, id) ? "hasAccount" : "noAccount";
}

const linksOf = (accounts, id) => accounts.flatMap((account) => account.links).filter((link) => link.person === id);
