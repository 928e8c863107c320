// Knows which of wxmint's tokens were ended before they expire: follows the issuer's signed revocation feed. For njs 0.7.9
// (Debian 12) and newer, which is why it keeps them in files, one for each end: all workers see them at once.
import fs from 'fs';
import crypto from 'crypto';

const MOST_PAGES = 100; // in one look
const MAX_AGE = 60; // seconds; what to do when the knowledge is older:
const FAIL = 'open'; // 'open' goes on and warns; 'closed' answers 503
const FIRST_PAGE_WITHIN = 10; // seconds; 'open' goes on without a first page after that
const KEYS_MAX_AGE = 86400; // seconds; keys that the issuer has not confirmed for so long are no longer believed
const LEEWAY = 60; // seconds by which clocks may differ
const FOLDERS = 64; // of revocations; a look sweeps one of them

// Asks for news: nginx.conf says who makes it do so every 5 s. No request of a user waits for it. `verified` checks a page's
// signature, and returns its header and claims. Says why, if something is wrong.
async function look(r, verified) {
    const folder = r.variables.document_root;
    let trouble = '';
    try {
        await pages(r, folder, verified, MOST_PAGES);
        alone(folder, () => forget(folder, Math.floor(now() / 5) % FOLDERS));
        check(age(folder) <= MAX_AGE, 'the newest page is old');
    } catch (e) {
        trouble = e.message; // What is known stays, whatever it was.
    }
    const known = state(folder);
    if (!known.began && names(folder).includes('jwks.json')) { // There are keys for the first time.
        known.began = now();
        write(`${folder}/feed.json`, JSON.stringify(known));
    }
    return trouble;
}

async function pages(r, folder, verified, most) {
    const cursor = state(folder).cursor;
    const answer = await ngx.fetch(r.variables.wxmint_ends_url + (cursor ? `?after=${encodeURIComponent(cursor)}` : ''));
    check(answer.status === 200, `the issuer answers ${answer.status}`);
    const text = await answer.text();
    const signed = await verified(text);
    check(signed.header.typ === 'revocations+jwt', 'not a page');
    const more = alone(folder, () => take(folder, r.variables.wxmint_issuer, signed.header.kid, signed.claims));
    if (more && most > 1) {
        await pages(r, folder, verified, most - 1);
    }
}

// A page counts as a whole or not at all. Returns whether there is more.
function take(folder, issuer, kid, page) {
    const known = state(folder);
    check(page.iss === issuer && [page.iat, page.exp, page.keep].every(isTime), 'a malformed page, or of another issuer');
    check(page.iat <= now() + LEEWAY && page.exp > now() - LEEWAY, 'a page of another time');
    // Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
    check(page.iat >= known.newest - LEEWAY, 'a much older page than the newest one');
    check(page.after === '' || page.after === known.cursor, 'a page that was not asked for');
    check(typeof page.cursor === 'string' && typeof page.more === 'boolean', 'a malformed page');
    check(Array.isArray(page.ended) && page.ended.every(isEnd), 'a malformed end');
    const endsIt = page.ended.some((end) => end[0] === 'kid' && end[1] === kid);
    check(!endsIt && read(folder, `kid-${kid}`) === undefined, "the page's key is ended");
    page.ended.forEach((end) => {
        const name = `${end[0]}-${end[1]}`;
        const held = read(folder, name);
        if (end[0] === 'kid' && /^[\w-]{1,128}$/.test(end[1])) { // no other key is used
            write(path(folder, name), held === undefined ? Math.floor(now()) : held);
        } else if (isTimed(end[0]) && !(held >= end[2])) { // other kinds are of a newer issuer
            write(path(folder, name), end[2]);
        }
    });
    const more = page.more && page.cursor !== known.cursor;
    known.complete = page.more ? known.complete : Math.max(page.iat, known.complete);
    known.newest = Math.max(page.iat, known.newest);
    known.cursor = page.cursor;
    known.keep = page.keep;
    write(`${folder}/feed.json`, JSON.stringify(known));
    return more;
}

// Whether a verified token was ended. To be asked about each request.
function have(folder, header, claims) {
    const of = (kind, value) => read(folder, `${kind}-${hash(claims.iss, value)}`);
    return claims.iat <= of('sub', claims.sub) || claims.iat <= of('app', `${claims.sub}\0${claims.client_id}`)
        || of('jti', claims.jti) !== undefined || read(folder, `kid-${header.kid}`) !== undefined;
}

// Whether no token can be judged now: answer 503. `keysAge` in seconds.
function unavailable(folder, keysAge) {
    const known = state(folder);
    if (FAIL === 'closed' || keysAge > KEYS_MAX_AGE) {
        return keysAge > KEYS_MAX_AGE || age(folder) > MAX_AGE;
    }
    return !known.complete && !(now() - known.began > FIRST_PAGE_WITHIN);
}

function age(folder) {
    return Math.floor(now() - state(folder).complete);
}

// No token that one of these ended can be valid any more.
function forget(folder, number) {
    const revocations = `${folder}/revocations-${number}`;
    const keep = state(folder).keep;
    names(revocations).forEach((name) => {
        const lasts = name.startsWith('jti-') ? LEEWAY : keep;
        if (!name.endsWith('.new') && Number(fs.readFileSync(`${revocations}/${name}`, 'utf8')) + lasts < now()) {
            fs.unlinkSync(`${revocations}/${name}`);
        }
    });
}

function state(folder) {
    try {
        return JSON.parse(fs.readFileSync(`${folder}/feed.json`, 'utf8'));
    } catch (e) {
        return { cursor: '', newest: 0, complete: 0, keep: 2592060 };
    }
}

// Of all workers, one at a time. Nothing in `work` waits, so the lock of a worker that has ended is seen by its age.
function alone(folder, work) {
    const lock = `${folder}/writing`;
    if (!made(lock)) {
        check(now() - fs.statSync(lock).mtimeMs / 1000 > 10, 'another worker is writing');
    }
    try {
        return work();
    } finally {
        fs.rmdirSync(lock);
    }
}

function made(folder) {
    try {
        fs.mkdirSync(folder);
        return true;
    } catch (e) {
        return false;
    }
}

function names(folder) {
    try {
        return fs.readdirSync(folder);
    } catch (e) {
        return [];
    }
}

// In one of the folders, by the first letter of the hash.
function path(folder, name) {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    return `${folder}/revocations-${letters.indexOf(name[4]) % FOLDERS}/${name}`;
}

function read(folder, name) {
    try {
        return Number(fs.readFileSync(path(folder, name), 'utf8'));
    } catch (e) {
        return undefined;
    }
}

// Renamed, so that nobody reads half a file.
function write(file, text) {
    made(file.slice(0, file.lastIndexOf('/')));
    fs.writeFileSync(`${file}.new`, String(text));
    fs.renameSync(`${file}.new`, file);
}

function isTimed(kind) {
    return kind === 'sub' || kind === 'app' || kind === 'jti';
}

function isTime(value) {
    return Number.isInteger(value) && value >= 0;
}

function isEnd(end) {
    if (!Array.isArray(end) || typeof end[0] !== 'string') {
        return false;
    }
    if (isTimed(end[0])) {
        return typeof end[1] === 'string' && /^[A-Za-z0-9_-]{16}$/.test(end[1]) && isTime(end[2]);
    }
    return end[0] !== 'kid' || (typeof end[1] === 'string' && end[1] !== '');
}

// Stands for a value in the feed, which names nobody.
function hash(issuer, value) {
    const digest = crypto.createHash('sha256').update(`${issuer}\0${value}`).digest();
    return digest.slice(0, 12).toString('base64url');
}

function now() {
    return Date.now() / 1000;
}

function check(holds, what) {
    if (!holds) {
        throw new Error(what);
    }
}

export default { look, have, unavailable, age };
