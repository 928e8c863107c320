// Verifies wxmint's access tokens inside nginx. For njs 0.7.9 (Debian 12) and newer, which is why it keeps the keys in
// a file: all workers see it, a restart and an outage of the issuer leave it there.
import fs from 'fs';
import revocations from 'wxmint-revocations.js';

const LEEWAY = 60; // seconds, for clocks that differ
const LONGEST_LIFE = 86400; // seconds: the issuer's WXMINT_TOKEN_TTL
const LONGEST_TOKEN = 8192; // characters
const LONGEST_SET = 65536; // characters
const FETCH_EVERY = 10; // seconds, whatever strangers send
const FIRST_FETCH_EVERY = 1; // while there are no keys

// The algorithm belongs to the key; a token that names another is refused.
const ALGORITHMS = {
    ES256: { importing: { name: 'ECDSA', namedCurve: 'P-256' }, verifying: { name: 'ECDSA', hash: 'SHA-256' }, spki: ecSpki },
    RS256: { importing: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, verifying: { name: 'RSASSA-PKCS1-v1_5' }, spki: rsaSpki },
};

// Answers nginx's auth_request: 204 with the identity, 401, or 503 while there are no keys.
async function verify(r) {
    const credentials = r.rawHeadersIn.filter((header) => header[0].toLowerCase() === 'authorization');
    try {
        const token = bearer(credentials);
        const claims = await verified(r, token);
        r.headersOut['X-User-Id'] = claims.sub;
        r.headersOut['X-Client-Id'] = claims.client_id;
        r.headersOut['X-Token-Id'] = claims.jti;
        r.return(204);
    } catch (e) {
        r.log(`wxmint: ${e.message}`);
        r.headersOut['X-Challenge'] = credentials.length === 0 ? 'Bearer' : 'Bearer error="invalid_token"';
        r.return(e.message === 'no keys' || e.message === 'no news' ? 503 : 401);
    }
}

// Keeps the revocations fresh: to be asked every 5 seconds. Answers 200, or 503 with what is wrong.
async function look(r) {
    const trouble = await revocations.look(r, (page) => signed(r, page));
    const age = revocations.age(r.variables.document_root);
    if (trouble) {
        r.warn(`wxmint: revocations are ${age} s old: ${trouble}`);
    }
    r.return(trouble ? 503 : 200, `revocations are ${age} s old${trouble && ': '}${trouble}\n`);
}

function bearer(credentials) {
    check(credentials.length === 1, 'not exactly one Authorization header');
    const match = /^bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(credentials[0][1]);
    check(match && match[1].length <= LONGEST_TOKEN, 'not a bearer token');
    return match[1];
}

async function verified(r, token) {
    const parsed = await signed(r, token);
    const header = parsed.header;
    const claims = parsed.claims;
    // Not a page of the revocation feed, which the same keys sign.
    check(/^(application\/)?at\+jwt$/i.test(header.typ), 'typ');
    const now = Math.floor(Date.now() / 1000);
    check(claims.iss === r.variables.wxmint_issuer, 'iss');
    check([].concat(claims.aud).some((audience) => audience === r.variables.wxmint_audience), 'aud');
    check(Number.isInteger(claims.exp) && claims.exp > now - LEEWAY, 'exp');
    check(Number.isInteger(claims.iat) && claims.iat <= now + LEEWAY, 'iat');
    check(claims.exp - claims.iat <= LONGEST_LIFE, 'lives too long');
    check(claims.nbf === undefined || (Number.isInteger(claims.nbf) && claims.nbf <= now + LEEWAY), 'nbf');
    // They become header values: visible ASCII, so no line end either.
    ['sub', 'client_id', 'jti'].forEach((name) => {
        check(typeof claims[name] === 'string' && /^[!-~]{1,128}$/.test(claims[name]), name);
    });
    const folder = r.variables.document_root;
    check(!revocations.have(folder, header, claims), 'ended');
    check(!revocations.unavailable(folder, age(`${folder}/jwks.json`)), 'no news');
    return claims;
}

// The header and the claims of what one of the issuer's keys has signed. For what, its typ says.
async function signed(r, token) {
    const parts = token.split('.');
    check(parts.length === 3, 'not three parts');
    const header = object(parts[0]);
    // No member but these, so neither crit nor a key that the token brings along or points to.
    check(Object.keys(header).sort().join() === 'alg,kid,typ', 'header members');

    const known = await keys(r);
    const key = known.find((key) => key.kid === header.kid);
    check(key && key.alg === header.alg, 'no such key');
    const algorithm = ALGORITHMS[key.alg];
    const imported = await crypto.subtle.importKey('spki', algorithm.spki(key), algorithm.importing, false, ['verify']);
    const signature = bytes(parts[2]);
    const valid = await crypto.subtle.verify(algorithm.verifying, imported, signature, `${parts[0]}.${parts[1]}`);
    check(valid, 'signature');
    return { header, claims: object(parts[1]) };
}

// The issuer's keys: of the file, which one request in FETCH_EVERY brings up to date and the others do not wait for.
async function keys(r) {
    const folder = r.variables.document_root;
    const file = `${folder}/jwks.json`;
    const every = age(file) === Infinity ? FIRST_FETCH_EVERY : FETCH_EVERY;
    if (age(file) > FETCH_EVERY && claimed(folder, every)) {
        try {
            const answer = await ngx.fetch(r.variables.wxmint_jwks_url);
            const text = await answer.text();
            const short = text.length <= LONGEST_SET;
            check(answer.status === 200 && short && usable(text).length > 0, `the issuer answers ${answer.status}`);
            // Renamed, so that nobody reads half a file. Good keys are replaced by good ones only.
            fs.writeFileSync(`${file}.new`, text);
            fs.renameSync(`${file}.new`, file);
        } catch (e) {
            r.error(`wxmint: keys not fetched: ${e.message}`);
        }
    }
    check(age(file) < Infinity, 'no keys');
    return usable(fs.readFileSync(file, 'utf8'));
}

// A bad key spoils itself only.
function usable(text) {
    return JSON.parse(text).keys.filter((key) => {
        try {
            const verifies = (key.use || 'sig') === 'sig' && (key.key_ops || ['verify']).includes('verify');
            return verifies && /^[\w-]{1,128}$/.test(key.kid) && ALGORITHMS[key.alg].spki(key).length > 0;
        } catch (e) {
            return false;
        }
    });
}

function age(file) {
    try {
        return (Date.now() - fs.statSync(file).mtimeMs) / 1000;
    } catch (e) {
        return Infinity;
    }
}

// Making a folder succeeds for one of all workers. Its name is the time, so that the next try is another folder.
function claimed(folder, every) {
    const mine = `try-${every}-${Math.floor(Date.now() / 1000 / every)}`;
    try {
        fs.mkdirSync(`${folder}/${mine}`);
    } catch (e) {
        return false;
    }
    fs.readdirSync(folder)
        .filter((name) => name.startsWith('try-') && name !== mine)
        .forEach((name) => fs.rmdirSync(`${folder}/${name}`));
    return true;
}

// The DER that importKey wants: njs before 0.8 does not import JWKs.
function ecSpki(key) {
    const point = [bytes(key.x), bytes(key.y)];
    check(key.kty === 'EC' && key.crv === 'P-256' && point.every((half) => half.length === 32), 'not a P-256 key');
    const start = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
    return Buffer.concat([start].concat(point));
}

function rsaSpki(key) {
    const modulus = bytes(key.n);
    check(key.kty === 'RSA' && modulus.length >= 256, 'not an RSA key of 2048 bits');
    const number = (value) => der(0x02, value[0] & 0x80 ? Buffer.concat([Buffer.from([0]), value]) : value);
    const pair = der(0x30, Buffer.concat([number(modulus), number(bytes(key.e))]));
    const rsaEncryption = Buffer.from('300d06092a864886f70d0101010500', 'hex');
    return der(0x30, Buffer.concat([rsaEncryption, der(0x03, Buffer.concat([Buffer.from([0]), pair]))]));
}

function der(tag, content) {
    const length = content.length;
    const short = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
    return Buffer.concat([Buffer.from([tag].concat(short)), content]);
}

// Base64url in its one canonical form: no padding, no stray bits.
function bytes(text) {
    const value = Buffer.from(text, 'base64url');
    check(value.toString('base64url') === text, 'base64url');
    return value;
}

// JSON.parse takes the last of two members of one name, another parser the first: refused.
function object(part) {
    const text = bytes(part).toString('utf8');
    const value = JSON.parse(text);
    const written = (text.match(/"(?:[^"\\]|\\.)*"\s*:?/g) || []).filter((string) => string.endsWith(':')).length;
    check(value && typeof value === 'object' && members(value) === written, 'duplicate members');
    return value;
}

function members(value) {
    if (value === null || typeof value !== 'object') {
        return 0;
    }
    const own = Array.isArray(value) ? 0 : Object.keys(value).length;
    return Object.keys(value).reduce((sum, name) => sum + members(value[name]), own);
}

function check(holds, what) {
    if (!holds) {
        throw new Error(what);
    }
}

export default { verify, look };
