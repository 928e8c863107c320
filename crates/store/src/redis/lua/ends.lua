-- Dates a token: with the second of its login, or with the first one after it that no end names, if that is not after
-- `latest`. An end names seconds ahead of the clock if it was made in this very second, or the clock has stepped back
-- since. `dated` is the latest date ahead of the clock that a token has got: later ends name it too. In front of the
-- scripts that date tokens or end them, whose KEYS are the user's ends, the user's list, and the clients of which the
-- user has tokens, each with the second up to which one of them, or what renews it, may be left.
local function latest_dated()
  return tonumber(redis.call('HGET', KEYS[1], 'dated') or '-1')
end

-- The present second; or nothing, and by how many seconds Redis is ahead of the caller's clock, if that is more than
-- may be. An end that is dated so would keep people out. A clock that is behind does no harm, because an end reaches to
-- the last login anyway.
local function now_or_ahead(own, at_most)
  local now = tonumber(redis.call('TIME')[1])
  if now - own > tonumber(at_most) then
    return nil, now - own
  end
  return now
end

-- Nothing is dated for a user whose list is blocked, because the end of the block has been made already: false.
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

-- Until when the record of the user's ends is needed here: at least until what the user's clients can renew has
-- expired, which verifiers do not meet.
local function keep_record(second)
  local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or '0')
  redis.call('HSET', KEYS[1], 'kept', string.format('%.0f', math.max(kept, second)))
end

local function keep_record_for_renewals()
  local latest = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
  keep_record(tonumber(latest[#latest] or '0'))
end

-- Ends a user's tokens of one app up to a second. The field `app:` has the first second that is not ended, and
-- `untold:app:` the last one that verifiers have yet to be told of.
local function end_app(app, second)
  local held = tonumber(redis.call('HGET', KEYS[1], 'app:' .. app) or '-1')
  redis.call('HSET', KEYS[1], 'app:' .. app, math.max(held, second + 1))
  keep_record_for_renewals()
end

-- Notes on the user's list up to which second tokens may be ended, so that a login which reads the list for a block
-- need not read the ends too.
local function note_on_list(second)
  local noted = tonumber(redis.call('HGET', KEYS[2], 'ended') or '-1')
  redis.call('HSET', KEYS[2], 'ended', math.max(noted, second))
end

local function end_app_and_tell(app, second)
  end_app(app, second)
  note_on_list(second)
  local untold = math.max(tonumber(redis.call('HGET', KEYS[1], 'untold:app:' .. app) or '-1'), second)
  redis.call('HSET', KEYS[1], 'untold:app:' .. app, untold)
  return tostring(untold)
end
