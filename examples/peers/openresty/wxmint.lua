-- Verifies wxmint's tokens in OpenResty, or in nginx with lua-nginx-module, and obeys the issuer's revocations. Each
-- worker keeps its own keys and revocations fresh; a request never waits for the network.
--
--   init_by_lua_block         { wxmint = require("wxmint").new { issuer = "https://login.example.com", audience = "…" } }
--   init_worker_by_lua_block  { wxmint:start() }
--   access_by_lua_block       { wxmint:access() }
local bit = require "bit"
local cjson = require "cjson.safe"
local ffi = require "ffi"
local lrucache = require "resty.lrucache"

ffi.cdef [[
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
EVP_PKEY *d2i_PUBKEY(EVP_PKEY **key, const unsigned char **der, long length);
void EVP_PKEY_free(EVP_PKEY *key);
int EVP_PKEY_get_bits(const EVP_PKEY *key);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *context);
const EVP_MD *EVP_sha256(void);
int EVP_DigestVerifyInit(EVP_MD_CTX *context, void **, const EVP_MD *digest, void *engine, EVP_PKEY *key);
int EVP_DigestVerify(EVP_MD_CTX *context, const unsigned char *signature, size_t, const unsigned char *message, size_t);
unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *digest);
]]
-- OpenSSL 3; OpenResty has its own beside it.
local crypto = ffi.load("libcrypto.so.3")

local M = {}
M.__index = M

local EVERY = 5 -- seconds between two looks at the feed
local KEYS_EVERY = 300 -- seconds; a removed key is believed for so long
local KEYS_EVERY_FOR_A_PAGE = 10 -- seconds; for a page of a key that is not known
local KEYS_MAX_AGE = 86400 -- seconds; keys that the issuer has not confirmed for so long are no longer believed
local DEADLINE = 4 -- seconds for one answer
local LONGEST_HEAD = 16 * 1024 -- bytes
local LONGEST_SET = 64 * 1024 -- bytes
local LONGEST_PAGE = 2 * 1024 * 1024 -- bytes
local LONGEST_TOKEN = 8 * 1024 -- bytes
local LONGEST_LIFE = 30 * 86400 -- seconds; no wxmint can be set to more
local MOST_PAGES = 1000 -- in one look
local MOST_REVOCATIONS = 200000 -- in each worker; beyond, the oldest of the kind with most are dropped, but no key
local REMEMBERED = 10000 -- verified tokens in each worker
local FORGET_EVERY = 60 -- seconds, by the time of the pages
local LEEWAY = 60 -- seconds by which clocks may differ
local MAX_AGE = 60 -- seconds; what is older is old knowledge
local FIRST_PAGE_WITHIN = 10 -- seconds; `open` goes on without a first page after that
local HAS_BEFORE = { sub = true, app = true, jti = false, kid = false }
-- No token of wxmint's has any of these in its header.
local ODD = { "crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty" }
local OWN = { xuserid = true, xclientid = true, xtokenid = true }

-- Seconds since 1970.
local function time()
  return ngx.time()
end

-- Texts

local function decoded(text)
  if type(text) ~= "string" or text:find("[^A-Za-z0-9_-]") or #text % 4 == 1 then
    return nil
  end
  local padded = text:gsub("%-", "+"):gsub("_", "/") .. ("="):rep(-#text % 4)
  local bytes = ngx.decode_base64(padded)
  -- One text has one encoding.
  return bytes and ngx.encode_base64(bytes) == padded and bytes or nil
end

local function sha256(text)
  local digest = ffi.new("unsigned char[32]")
  crypto.SHA256(text, #text, digest)
  return ffi.string(digest, 32)
end

-- Whether no object of a JSON text has two members of one name. cjson would take the last one.
local function each_once(json)
  local objects, expects_name = {}, false
  local at = 1
  while at <= #json do
    local letter = json:sub(at, at)
    if letter == '"' then
      local stop = at + 1
      while json:sub(stop, stop) ~= '"' do
        stop = stop + (json:sub(stop, stop) == "\\" and 2 or 1)
        if stop > #json then
          return false
        end
      end
      local names = objects[#objects]
      if expects_name and names then
        local name = cjson.decode("[" .. json:sub(at, stop) .. "]")
        if not name or names[name[1]] then
          return false
        end
        names[name[1]] = true
      end
      expects_name, at = false, stop
    elseif letter == "{" then
      objects[#objects + 1], expects_name = {}, true
    elseif letter == "[" then
      objects[#objects + 1], expects_name = false, false
    elseif letter == "}" or letter == "]" then
      objects[#objects], expects_name = nil, false
    elseif letter == "," then
      expects_name = objects[#objects] and true or false
    end
    at = at + 1
  end
  return true
end

local function object(json)
  local value = json and each_once(json) and cjson.decode(json)
  return type(value) == "table" and json:find("^%s*{") and value or nil
end

local function whole(value)
  return type(value) == "number" and value >= 0 and value < 2 ^ 53 and math.floor(value) == value
end

-- Keys and signatures

local function der(tag, ...)
  local content = table.concat({ ... })
  local length = #content
  if length < 128 then
    return string.char(tag, length) .. content
  elseif length < 256 then
    return string.char(tag, 0x81, length) .. content
  end
  return string.char(tag, 0x82, bit.rshift(length, 8), bit.band(length, 255)) .. content
end

local function integer(bytes)
  bytes = bytes:gsub("^%z+", "")
  return der(2, bytes:byte() and bytes:byte() < 128 and "" or "\0", bytes)
end

local function hex(text)
  return (text:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- A JWK's public key as OpenSSL reads it, for the one algorithm that it is published for.
local function usable(jwk)
  if type(jwk) ~= "table" or type(jwk.kid) ~= "string" or jwk.kid == "" or (jwk.use or "sig") ~= "sig" then
    return nil
  end
  if jwk.key_ops then
    local verifies = false
    for _, operation in ipairs(type(jwk.key_ops) == "table" and jwk.key_ops or {}) do
      verifies = verifies or operation == "verify"
    end
    if not verifies then
      return nil
    end
  end
  local x, y, n, e = decoded(jwk.x), decoded(jwk.y), decoded(jwk.n), decoded(jwk.e)
  local spki
  if jwk.kty == "EC" and jwk.crv == "P-256" and jwk.alg == "ES256" and x and y and #x == 32 and #y == 32 then
    spki = hex "3059301306072a8648ce3d020106082a8648ce3d03010703420004" .. x .. y
  elseif jwk.kty == "OKP" and jwk.crv == "Ed25519" and jwk.alg == "EdDSA" and x and #x == 32 then
    spki = hex "302a300506032b6570032100" .. x
  elseif jwk.kty == "RSA" and jwk.alg == "RS256" and n and e then
    local key = der(0x30, integer(n), integer(e))
    spki = der(0x30, hex "300d06092a864886f70d0101010500", der(3, "\0", key))
  else
    return nil
  end
  local pointer = ffi.new("const unsigned char *[1]", ffi.cast("const unsigned char *", spki))
  local key = crypto.d2i_PUBKEY(nil, pointer, #spki)
  if key == nil then
    return nil
  end
  key = ffi.gc(key, crypto.EVP_PKEY_free)
  if jwk.alg == "RS256" and crypto.EVP_PKEY_get_bits(key) < 2048 then
    return nil
  end
  return { alg = jwk.alg, key = key }
end

local function is_signed(key, message, signature)
  local digest = crypto.EVP_sha256()
  if key.alg == "ES256" then
    if #signature ~= 64 then
      return false
    end
    signature = der(0x30, integer(signature:sub(1, 32)), integer(signature:sub(33)))
  elseif key.alg == "EdDSA" then
    digest = nil
  end
  local context = ffi.gc(crypto.EVP_MD_CTX_new(), crypto.EVP_MD_CTX_free)
  return crypto.EVP_DigestVerifyInit(context, nil, digest, nil, key.key) == 1
    and crypto.EVP_DigestVerify(context, signature, #signature, message, #message) == 1
end

local function is_page(typ)
  return typ == "revocations+jwt"
end

-- A media type has no case.
local function is_access_token(typ)
  return typ:lower() == "at+jwt" or typ:lower() == "application/at+jwt"
end

-- The header and the claims of a text that a key of the issuer has signed, whose `typ` is right; or nil and why not.
function M:signed(text, is_right_typ)
  local head, body, tail = text:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
  local header, signature = object(decoded(head)), decoded(tail)
  if not header or not signature then
    return nil, "malformed"
  end
  for _, name in ipairs(ODD) do
    if header[name] ~= nil then
      return nil, "its header has " .. name
    end
  end
  if type(header.typ) ~= "string" or not is_right_typ(header.typ) then
    return nil, "of another type"
  end
  local key = type(header.kid) == "string" and self:keys_are_known() and self.keys[header.kid]
  if not key then
    return nil, "unknown key"
  end
  if header.alg ~= key.alg or not is_signed(key, head .. "." .. body, signature) then
    return nil, "not signed by its key"
  end
  local claims = object(decoded(body))
  if not claims then
    return nil, "malformed"
  end
  return header, claims
end

-- The issuer's keys and feed

-- One answer with status 200 and a body of at most `longest` bytes. It follows no redirect.
local function fetch(url, longest)
  local scheme, host, port, path = url:match("^(https?)://([^/:]+):?(%d*)(/.*)$")
  local deadline = ngx.now() + DEADLINE
  local socket = ngx.socket.tcp()
  local function left()
    ngx.update_time()
    local rest = (deadline - ngx.now()) * 1000
    if rest <= 0 then
      socket:close()
      error("no answer in time", 0)
    end
    socket:settimeout(math.ceil(rest)) -- 0 would be the default of nginx, a minute
  end
  local function must(value, why)
    if not value then
      socket:close()
      error(why or "closed", 0)
    end
    return value
  end
  left()
  must(socket:connect(host, tonumber(port) or (scheme == "https" and 443 or 80)))
  if scheme == "https" then
    left()
    must(socket:sslhandshake(nil, host, true))
  end
  left()
  local name = port == "" and host or host .. ":" .. port
  -- HTTP/1.0, so that the answer comes in one piece and the connection ends with it.
  must(socket:send("GET " .. path .. " HTTP/1.0\r\nHost: " .. name .. "\r\nConnection: close\r\n\r\n"))
  -- Reads what has come, piece by piece: a reader of lines would wait on as long as a byte comes now and then.
  local function piece()
    left()
    return must(socket:receiveany(65536))
  end
  local head, body = "", nil
  while not body do
    head = head .. piece()
    local stop, start = head:find("\r\n\r\n", 1, true)
    if stop then
      head, body = head:sub(1, stop + 1), head:sub(start + 1)
    elseif #head > LONGEST_HEAD then
      must(nil, "a head of too many bytes")
    end
  end
  local status = head:match("^HTTP/1%.%d (%d+)")
  if status ~= "200" then
    must(nil, "the issuer answers " .. tostring(status))
  end
  local length = tonumber(head:lower():match("\r\ncontent%-length:%s*(%d+)\r\n"))
  if not length or length > longest then
    must(nil, "a body of " .. tostring(length) .. " bytes")
  end
  local parts, got = { body }, #body
  while got < length do
    parts[#parts + 1] = piece()
    got = got + #parts[#parts]
  end
  socket:close()
  return table.concat(parts):sub(1, length)
end

function M:keys_are_known()
  -- Keys that were confirmed in the future, by a clock that was ahead, are as old.
  return next(self.keys) and math.abs(time() - self.confirmed) <= KEYS_MAX_AGE
end

function M:refresh(every, last)
  if self:keys_are_known() and ngx.now() - self[last] < every then
    return
  end
  self[last] = ngx.now()
  local set = object(fetch(self.issuer .. "/.well-known/jwks.json", LONGEST_SET))
  local keys = {}
  for _, jwk in ipairs(set and type(set.keys) == "table" and set.keys or {}) do
    -- A bad key spoils itself only.
    local is_read, key = pcall(usable, jwk)
    if is_read and key then
      keys[jwk.kid] = key
    end
  end
  if not next(keys) then
    error("no usable key in the JWKS", 0)
  end
  self.keys, self.confirmed = keys, time()
  self.began = self.began or time()
end

local function check(holds, otherwise)
  if not holds then
    error(otherwise, 0)
  end
end

-- The revocations of a page, by kind and name; an error for one that is malformed.
local function learn(revoked)
  local learnt = {}
  for _, entry in ipairs(revoked) do
    check(type(entry) == "table" and type(entry[1]) == "string", "a malformed revocation")
    local kind, name = entry[1], entry[2]
    local has_before = HAS_BEFORE[kind]
    if has_before ~= nil then -- else of a newer issuer
      local is_named = type(name) == "string"
        and (kind == "kid" and name ~= "" or #name == 16 and not name:find("[^%w_-]"))
      check(is_named and whole(entry[3]) and (not has_before or whole(entry[4])), "a malformed revocation")
      learnt[#learnt + 1] = { kind, name, has_before and entry[3] or 0, has_before and entry[4] or entry[3] }
    end
  end
  return learnt
end

function M:is_needed(until_)
  return until_ + 2 * LEEWAY > self.newest
end

-- Counts a page as a whole or not at all. Returns whether there is more.
function M:take(header, page)
  local now = time()
  check(page.iss == self.issuer and whole(page.iat) and whole(page.exp), "another issuer's page, or a malformed one")
  check(page.iat <= now + LEEWAY and page.exp > now - LEEWAY, "a page of another time")
  -- Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
  check(page.iat >= self.newest - LEEWAY, "a much older page than the newest one")
  check(type(page.after) == "string" and type(page.cursor) == "string" and #page.cursor <= 256, "a malformed page")
  check(type(page.more) == "boolean" and type(page.revoked) == "table", "a malformed page")
  check(next(page.revoked) == nil or page.revoked[1] ~= nil, "a malformed page")
  check(page.after == "" or page.after == self.cursor, "a page that was not asked for")
  check(not page.more or page.cursor ~= self.cursor, "a page that leads to itself")
  local learnt = learn(page.revoked)
  local is_revoked = self.held.kid[header.kid]
  for _, entry in ipairs(learnt) do
    is_revoked = is_revoked or entry[1] == "kid" and entry[2] == header.kid
  end
  check(not is_revoked, "the page's key is revoked")
  self.newest = math.max(self.newest, page.iat)
  for _, entry in ipairs(learnt) do
    local kind, name, before, until_ = unpack(entry)
    local held = self.held[kind][name]
    if held then
      before, until_ = math.max(before, held.before), math.max(until_, held.until_)
    end
    if self:is_needed(until_) then
      self.count = self.count + (held and 0 or 1)
      self.held[kind][name] = { before = before, until_ = until_ }
    end
  end
  if self.newest - self.forgot_at >= FORGET_EVERY or self.count > MOST_REVOCATIONS then
    self:forget()
  end
  self.cursor = page.cursor
  if not page.more then
    self.complete = math.max(self.complete, page.iat)
  end
  return page.more
end

-- Drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
-- machine's clock may be wrong, and what is forgotten is never learnt again.
function M:forget()
  self.forgot_at, self.count = self.newest, 0
  local names = {}
  for kind, held in pairs(self.held) do
    names[kind] = {}
    for name, entry in pairs(held) do
      if self:is_needed(entry.until_) then
        self.count = self.count + 1
        table.insert(names[kind], name)
      else
        held[name] = nil
      end
    end
  end
  while self.count > MOST_REVOCATIONS do
    local most
    for kind, own in pairs(names) do
      if kind ~= "kid" and (not most or #own > #names[most]) then
        most = kind
      end
    end
    local held, own = self.held[most], names[most]
    if #own == 0 then
      return
    end
    table.sort(own, function(a, b) return held[a].until_ > held[b].until_ end)
    for _ = 1, math.ceil(#own / 8) do
      local name = table.remove(own)
      self.lacking_until = math.max(self.lacking_until, held[name].until_ + 2 * LEEWAY)
      held[name], self.count = nil, self.count - 1
    end
  end
end

function M:follow()
  for _ = 1, MOST_PAGES do
    local query = self.cursor == "" and "" or "?after=" .. ngx.escape_uri(self.cursor)
    local text = fetch(self.issuer .. "/revocations" .. query, LONGEST_PAGE)
    local header, page = self:signed(text, is_page)
    if not header and page == "unknown key" then
      -- After `wxmint keys retire --now` a key signs at once. No stranger can make us fetch it.
      self:refresh(KEYS_EVERY_FOR_A_PAGE, "fetched_for_a_page")
      header, page = self:signed(text, is_page)
    end
    check(header, page)
    if not self:take(header, page) then
      return
    end
  end
end

function M:look()
  local trouble
  for _, step in ipairs { function() self:refresh(KEYS_EVERY, "fetched") end, function() self:follow() end } do
    local is_done, why = pcall(step)
    trouble = trouble or not is_done and tostring(why) or nil
    if not next(self.keys) then
      break
    end
  end
  local now = time()
  -- If this machine's clock has stepped back, it refuses new pages: what is known is as old as that.
  if self.complete > now + LEEWAY then
    self.complete = 2 * now - self.complete
  end
  if now < self.lacking_until then
    trouble = trouble or "too many revocations; the oldest were dropped"
  end
  if (trouble or now - self.complete > self.max_age) and ngx.now() - self.warned > 60 then
    local age = self.complete == 0 and "are not known" or "are " .. now - self.complete .. " s old"
    ngx.log(ngx.WARN, "wxmint: revocations ", age, ": ", trouble or "the issuer's newest page is old")
    self.warned = ngx.now()
  end
end

-- Requests

-- Whether nobody on the way can change what this URL's server answers: https, or http on this machine.
local function is_secure(url)
  if url:find("^https://") then
    return true
  end
  local host = (url .. "/"):match("^http://([%w.]+):?%d*/")
  return host == "localhost" or host ~= nil and host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

-- The verifier of `options`: issuer and audience, and perhaps fail ("open" or "closed") and max_age (seconds).
function M.new(options)
  local issuer = assert(options.issuer, "wxmint: issuer is missing")
  assert(is_secure(issuer) and not issuer:find("/$"), "wxmint: issuer is an https URL (http only on loopback) without / at its end")
  assert(not options.fail or options.fail == "open" or options.fail == "closed", "wxmint: fail is open or closed")
  return setmetatable({
    issuer = issuer,
    audience = assert(options.audience, "wxmint: audience is missing"),
    is_closed = options.fail == "closed",
    max_age = options.max_age or MAX_AGE,
    keys = {},
    confirmed = 0,
    fetched = -math.huge,
    fetched_for_a_page = -math.huge,
    held = { sub = {}, app = {}, jti = {}, kid = {} },
    count = 0,
    cursor = "",
    newest = 0,
    complete = 0,
    forgot_at = 0,
    lacking_until = 0,
    warned = -math.huge,
    remembered = assert(lrucache.new(REMEMBERED)),
  }, M)
end

-- Keeps this worker's keys and revocations fresh.
function M:start()
  local function again(is_ending)
    if is_ending then
      return
    end
    pcall(self.look, self)
    ngx.timer.at(next(self.keys) and EVERY or EVERY / 25, again)
  end
  assert(ngx.timer.at(0, again))
end

function M:hash(value)
  local first = sha256(self.issuer .. "\0" .. value):sub(1, 12)
  return (ngx.encode_base64(first):gsub("%+", "-"):gsub("/", "_"))
end

local function is_for(aud, ours)
  for _, one in ipairs(type(aud) == "table" and aud or { aud }) do
    if one == ours then
      return true
    end
  end
  return false
end

-- The claims of a good token, with the names that revocations would have; nil for any other.
function M:verified(token)
  if #token > LONGEST_TOKEN then
    return nil
  end
  local name = sha256(token)
  local known = self.remembered:get(name)
  if known and self.keys[known.kid] == known.key then
    return known
  end
  local header, claims = self:signed(token, is_access_token)
  if not header or claims.iss ~= self.issuer or not is_for(claims.aud, self.audience) then
    return nil
  end
  for _, member in ipairs { "sub", "client_id", "jti" } do
    if type(claims[member]) ~= "string" or claims[member] == "" then
      return nil
    end
  end
  local life = whole(claims.iat) and whole(claims.exp) and claims.exp - claims.iat
  if not life or life <= 0 or life > LONGEST_LIFE or claims.nbf ~= nil and not whole(claims.nbf) then
    return nil
  end
  local good = {
    sub = claims.sub,
    client_id = claims.client_id,
    jti = claims.jti,
    iat = claims.iat,
    exp = claims.exp,
    nbf = claims.nbf or claims.iat,
    kid = header.kid,
    key = self.keys[header.kid],
    of_user = self:hash(claims.sub),
    of_app = self:hash(claims.sub .. "\0" .. claims.client_id),
    of_token = self:hash(claims.jti),
  }
  self.remembered:set(name, good)
  return good
end

function M:is_revoked(token)
  local user, app = self.held.sub[token.of_user], self.held.app[token.of_app]
  return user and token.iat <= user.before
    or app and token.iat <= app.before
    or self.held.jti[token.of_token]
    or self.held.kid[token.kid]
end

-- Whether no token can be judged now.
function M:unavailable()
  local now = time()
  if not self:keys_are_known() then
    return true
  elseif self.is_closed then
    return now - self.complete > self.max_age or now < self.lacking_until
  end
  return self.complete == 0 and now - self.began <= FIRST_PAGE_WITHIN
end

local function refuse(status, code, detail, challenge)
  ngx.status = status
  ngx.header["Content-Type"] = "application/problem+json"
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["WWW-Authenticate"] = challenge
  ngx.header["Retry-After"] = status == 503 and "1" or nil
  ngx.print(cjson.encode { type = "urn:wxmint:problem:" .. code, status = status, code = code, detail = detail })
  return ngx.exit(status)
end

-- Removes the client's own identity headers, in every spelling, and the token. For public locations.
function M:public()
  for name in pairs(ngx.req.get_headers(0, true)) do
    if OWN[(name:gsub("[^%w]", ""):lower())] then
      ngx.req.clear_header(name)
    end
  end
  ngx.req.clear_header("Authorization")
end

-- Lets requests with a good token through, and names the user to the service.
function M:access()
  local header = ngx.req.get_headers(0).authorization
  self:public()
  if type(header) == "table" then
    return refuse(401, "invalid_request", "Send one Authorization header: `Bearer`, a space, and one token.",
      'Bearer error="invalid_request"')
  end
  local token = header and header:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +([%w._~+/=-]+)$")
  if not token then
    return refuse(401, "invalid_token", "Send the token of the login, as `Authorization: Bearer …`.", "Bearer")
  end
  local good = self:keys_are_known() and self:verified(token)
  local now = time()
  local is_of_this_time = good and good.exp > now - LEEWAY and good.iat <= now + LEEWAY and good.nbf <= now + LEEWAY
  if self:keys_are_known() and (not is_of_this_time or self:is_revoked(good)) then
    return refuse(401, "invalid_token", "The access token is not valid here. Call wx.login and log in again.",
      'Bearer error="invalid_token"')
  end
  if self:unavailable() then
    return refuse(503, "keys_unavailable", "The keys or the revocations of the issuer are not known. Try again.")
  end
  ngx.req.set_header("X-User-Id", good.sub)
  ngx.req.set_header("X-Client-Id", good.client_id)
  ngx.req.set_header("X-Token-Id", good.jti)
end

return M
