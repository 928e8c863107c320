-- Shared functions of the scripts that date or revoke tokens. KEYS: the user's revocations; the
-- user's list; the clients that have tokens of the user, each with the second up to which such a
-- token, or its refresh token, may be left. The field `dated` is the latest date ahead of the clock
-- that a token has got; later revocations cover it.
local function latest_dated()
  return tonumber(redis.call('HGET', KEYS[1], 'dated') or '-1')
end

-- Returns the present second. If Redis is more than `at_most` seconds ahead of the caller's clock
-- `own`, returns nil and by how many seconds: a revocation with such a date would prevent logins. A
-- clock that is behind does no harm, because a revocation covers the last login anyway.
local function now_or_ahead(own, at_most)
  local now = tonumber(redis.call('TIME')[1])
  if now - own > tonumber(at_most) then
    return nil, now - own
  end
  return now
end

-- Dates a token: with the second of its login, or with the first later second that no revocation
-- covers. Notes that date if it is later than the login and not after `latest`. A revocation covers
-- the second of the login if it was made in that very second, or if the clock has stepped back
-- since. Returns false for a blocked user, because the revocation that came with the block has been
-- made already.
local function date(app, second, latest)
  if string.sub(redis.call('HGET', KEYS[2], 'block') or '', -2) == 'on' then
    return false
  end
  local held = redis.call('HMGET', KEYS[1], 'before', 'app:' .. app)
  local iat = math.max(second, tonumber(held[1] or '-1') + 1, tonumber(held[2] or '-1'))
  if second < iat and iat <= latest then
    redis.call('HSET', KEYS[1], 'dated', math.max(iat, latest_dated()))
  end
  return iat
end

-- Notes until when the record of the user's revocations is needed. It is needed at least until the
-- refresh tokens of the user's clients have expired, although verifiers never see those.
local function keep_record(second)
  local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or '0')
  redis.call('HSET', KEYS[1], 'kept', string.format('%.0f', math.max(kept, second)))
end

local function keep_record_for_renewals()
  local latest = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
  keep_record(tonumber(latest[#latest] or '0'))
end

-- Revokes a user's tokens of one app up to a second. The field `app:` has the first second that is
-- not revoked, and `untold:app:` has the last second that is not in the stream yet.
local function revoke_app(app, second)
  local held = tonumber(redis.call('HGET', KEYS[1], 'app:' .. app) or '-1')
  redis.call('HSET', KEYS[1], 'app:' .. app, math.max(held, second + 1))
  keep_record_for_renewals()
end

-- Notes on the user's list up to which second tokens may be revoked, so that a login, which reads
-- the list for a block anyway, need not read the revocations too.
local function note_on_list(second)
  local noted = tonumber(redis.call('HGET', KEYS[2], 'ended') or '-1')
  redis.call('HSET', KEYS[2], 'ended', math.max(noted, second))
end

local function revoke_app_to_publish(app, second)
  revoke_app(app, second)
  note_on_list(second)
  local unpublished = math.max(tonumber(redis.call('HGET', KEYS[1], 'untold:app:' .. app) or '-1'), second)
  redis.call('HSET', KEYS[1], 'untold:app:' .. app, unpublished)
  return tostring(unpublished)
end
