-- What Apache and mod_oauth2 leave open when they verify wxmint's tokens.
require 'apache2'

local LEEWAY = 60 -- seconds, for clocks that differ
local LONGEST_LIFE = 86400 -- seconds: the issuer's WXMINT_TOKEN_TTL
local LONGEST_TOKEN = 8192 -- characters

-- Runs before anything else.
function clean(r)
    -- Back ends disagree on what these mean, and a prefix in httpd.conf may then be more than it looks.
    local path = r.unparsed_uri:gsub('^%a+://[^/]*', ''):match('^[^?]*'):lower()
    if path:sub(1, 1) ~= '/' or path:find('//', 1, true) or path:find('/.', 1, true) or path:find('[;\\]')
        or path:find('%%2[ef5]') or path:find('%%5c') or path:find('%%00') then
        return 400
    end
    -- X_User_Id, X.User.Id and whatever else a back end may take for X-User-Id.
    for name in pairs(r:headers_in_table()) do
        local plain = name:lower()
        if plain:find('[^a-z0-9-]') or plain == 'x-user-id' or plain == 'x-client-id' or plain == 'x-token-id' then
            r.headers_in[name] = nil
        end
    end
    -- Connection names headers that mod_proxy is to strip: the client would have the identity removed again.
    local connection = r.headers_in['Connection']
    r.headers_in['Connection'] = connection and connection:lower():find('close', 1, true) and 'close' or nil
    return apache2.DECLINED
end

-- Runs when mod_oauth2 has verified the signature, on the claims as mod_oauth2 has read them.
function authorize(r, issuer, audience)
    if r.user == nil then
        return apache2.AUTHZ_DENIED_NO_USER
    end
    local refusal = fault(r, issuer, audience)
    if refusal then
        r:info('wxmint: ' .. refusal)
        r.err_headers_out['WWW-Authenticate'] = 'Bearer error="invalid_token"'
        return apache2.AUTHZ_DENIED
    end
    r.headers_in['X-User-Id'] = claim(r, 'sub')
    r.headers_in['X-Client-Id'] = claim(r, 'client_id')
    r.headers_in['X-Token-Id'] = claim(r, 'jti')
    return apache2.AUTHZ_GRANTED
end

function fault(r, issuer, audience)
    -- Two Authorization headers arrive as one with a comma in it.
    local header, payload = (r.headers_in['Authorization'] or ''):match('^%a+ +([%w_-]+)%.([%w_-]+)%.[%w_-]+$')
    if not header or #header + #payload > LONGEST_TOKEN then
        return 'not a token'
    end
    header, payload = decoded(r, header), decoded(r, payload)

    -- Three members and no more: no crit, no key that the token brings along or points to.
    local members = {}
    local rest, count = header:gsub('"(%l+)":"([^"\\]*)",?', function(name, value)
        members[name] = value
        return ''
    end)
    if rest ~= '{}' or count ~= 3 or not (members.alg and members.kid and members.typ) then
        return 'header members'
    end
    local typ = members.typ:lower()
    if typ ~= 'at+jwt' and typ ~= 'application/at+jwt' then
        return 'typ'
    end
    -- mod_oauth2 takes the algorithm from the token, within the key's family.
    if members.alg ~= 'ES256' and members.alg ~= 'RS256' then
        return 'alg'
    end
    if twice(payload) then
        return 'duplicate members'
    end

    local now = os.time()
    local exp, iat, nbf = number(r, 'exp'), number(r, 'iat'), number(r, 'nbf')
    if claim(r, 'iss') ~= issuer then
        return 'iss'
    end
    if not holds(claim(r, 'aud'), audience) then
        return 'aud'
    end
    -- mod_oauth2 remembers a valid signature beyond exp.
    if not exp or exp <= now - LEEWAY then
        return 'exp'
    end
    if not iat or iat > now + LEEWAY or exp - iat > LONGEST_LIFE then
        return 'iat'
    end
    if claim(r, 'nbf') and not (nbf and nbf <= now + LEEWAY) then
        return 'nbf'
    end
    -- They become header values.
    for _, name in ipairs({ 'sub', 'client_id', 'jti' }) do
        if not (claim(r, name) or ''):match('^[!-~]+$') then
            return name
        end
    end
end

function claim(r, name)
    return r.subprocess_env['OAUTH2_CLAIM_' .. name]
end

function number(r, name)
    return tonumber((claim(r, name) or ''):match('^%d+$'))
end

-- A string, or the JSON of an array of strings.
function holds(aud, audience)
    if not aud or aud == audience then
        return aud ~= nil
    end
    for one in aud:match('^%[(.*)%]$') and aud:gmatch('"([^"\\]*)"') or function() end do
        if one == audience then
            return true
        end
    end
    return false
end

-- mod_oauth2 takes the last of two members of one name, others the first.
function twice(json)
    local seen = {}
    for name in json:gmatch('"([^"\\]*)"%s*:') do
        if seen[name] then
            return true
        end
        seen[name] = true
    end
    return json:find('\\u', 1, true) ~= nil
end

function decoded(r, text)
    return r:base64_decode(text:gsub('-', '+'):gsub('_', '/') .. '')
end
