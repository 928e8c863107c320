-- Dates a user's tokens, revokes them, blocks the user, or purges revocations. KEYS: the user's
-- revocations, list and clients, or for 'token' the revocation of one token. ARGV: step, and the
-- step's arguments. Needs revocations.lua. No revocation expires by the clock of Redis.
--   'date': dates the token of a login. Arguments: appid, second of the login, latest second.
--     Answers the date, or false if the user is blocked. Notes nothing if the date is after the
--     latest second.
--   'user': revokes all tokens that were issued up to now, unless the requesting token was already
--     revoked in this way. Arguments: another second up to which tokens may be dated, the second of
--     the caller's clock, by how many seconds Redis may be ahead of it, and optionally the iat of
--     the requesting token.
--   'block': does the same, and then blocks the user's list. Arguments: the first three as before.
--     A later 'user' adds the revocation to the stream. 'unblock' lifts the block. Both answer the
--     number of this change, which orders the changes that are noted on the bindings of the user's
--     persons.
--   'renew': dates a token that is issued without a login. Arguments: the second of its login, two
--     seconds as before, and how long such a token may live. Answers the present second, or the
--     latest date of a token if that is later, and notes it, so that later revocations cover it.
--   'app': revokes all tokens that were issued in one app up to and in this second. Arguments:
--     three seconds as before, appid, and optionally a last second: then it revokes up to that
--     second, or up to the latest date of a token if that is later.
--   'token': revokes one token. Answers whether the revocation is in the stream: 'untold', 'added'
--     or 'told'.
--   'restore': writes a lost revocation again. Arguments: field of the user's revocations, its
--     second, and the longest life of a token or a refresh token. The record is kept for that life,
--     because other records may be lost, too.
--   'published': notes that a revocation is in the stream, unless a later one is not there yet.
--     Arguments: the 'untold:' field, its second, and the date of the revocation, until which the
--     record is kept at least.
--   'forget': purges the revocations, unless they are needed. Arguments: the present second; the
--     longest life of a token or a refresh token, for which a revocation is kept that is not in the
--     stream yet and so has no date; and how long a token without a login may live. Answers until
--     when the revocations are needed, or false if they were purged.
-- 'user' and 'app' answer the last second of a revocation that is not in the stream yet, or false.
-- They always write, so that a repetition also waits until a replica has the revocation. Before
-- their answers, and before those of 'block', 'unblock' and 'renew', stands false; or, if Redis is
-- too far ahead, by how many seconds, and then nothing was done.
local step = ARGV[1]

-- The number is at least the present second, because a list that was lost may have had more changes
-- than the present list.
local function set_block(state)
  local number = tonumber(string.match(redis.call('HGET', KEYS[2], 'block') or '0', '^%d+')) + 1
  number = string.format('%.0f', math.max(number, tonumber(redis.call('TIME')[1])))
  redis.call('HSET', KEYS[2], 'block', number .. ' ' .. state)
  redis.call('PERSIST', KEYS[2])
  return number
end

-- If there are no revocations, nothing else would delete the note of 'renew'.
local function expire_note(seconds)
  if redis.call('HLEN', KEYS[1]) == 1 and redis.call('HEXISTS', KEYS[1], 'dated') == 1 then
    redis.call('EXPIRE', KEYS[1], seconds)
  end
end

if step == 'date' then
  return date(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
elseif step == 'token' then
  local state = redis.call('GET', KEYS[1]) or 'untold'
  redis.call('SET', KEYS[1], state)
  return state
elseif step == 'restore' then
  local held = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '-1')
  note_on_list(tonumber(ARGV[3]))
  redis.call('PERSIST', KEYS[1])
  keep_record(tonumber(ARGV[3]) + tonumber(ARGV[4]))
  return redis.call('HSET', KEYS[1], ARGV[2], math.max(held, tonumber(ARGV[3])))
elseif step == 'unblock' then
  return {false, set_block('off')}
elseif step == 'published' then
  keep_record(tonumber(ARGV[4]))
  return redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[3] and redis.call('HDEL', KEYS[1], ARGV[2]) or 0
elseif step == 'forget' then
  local present, needed = tonumber(ARGV[2]), 0
  local all = redis.call('HGETALL', KEYS[1])
  for index = 1, #all, 2 do
    local name, value = all[index], tonumber(string.match(all[index + 1], '^%d+') or '0')
    if name == 'kept' then
      needed = math.max(needed, value)
    elseif string.sub(name, 1, 7) == 'untold:' then
      needed = math.max(needed, value + tonumber(ARGV[3]))
    end
  end
  if present <= needed then
    return string.format('%.0f', needed)
  end
  for index = 1, #all, 2 do
    local is_recent = all[index] == 'dated' and tonumber(all[index + 1]) + tonumber(ARGV[4]) >= present
    if not is_recent then
      redis.call('HDEL', KEYS[1], all[index])
    end
  end
  redis.call('HDEL', KEYS[2], 'ended')
  expire_note(ARGV[4])
  return false
end
local now, ahead = now_or_ahead(ARGV[3], ARGV[4])
local has_last = step == 'app' and ARGV[6]
if ahead and not has_last then
  return {ahead, 0}
end
-- If there was only a note of 'renew', the key expires.
redis.call('PERSIST', KEYS[1])
if has_last then
  return {false, revoke_app_to_publish(ARGV[5], math.max(tonumber(ARGV[6]), latest_dated()))}
end
now = math.max(now, tonumber(ARGV[2]), latest_dated())
if step == 'app' then
  return {false, revoke_app_to_publish(ARGV[5], now)}
elseif step == 'renew' then
  redis.call('HSET', KEYS[1], 'dated', now)
  expire_note(ARGV[5])
  return {false, tostring(now)}
end
local before, asked_at = tonumber(redis.call('HGET', KEYS[1], 'before') or '-1'), tonumber(ARGV[5])
if not asked_at or before < asked_at then
  before = math.max(before, asked_at or 0, now)
  redis.call('HSET', KEYS[1], 'untold:before', before)
end
redis.call('HSET', KEYS[1], 'before', before)
keep_record_for_renewals()
note_on_list(before)
-- The block comes last, because Redis undoes nothing if a script fails: so a blocked user always
-- has the revocation.
if step == 'block' then
  return {false, set_block('on')}
end
return {false, redis.call('HGET', KEYS[1], 'untold:before')}
