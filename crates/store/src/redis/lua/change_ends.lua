-- Dates a user's tokens, ends them, blocks the user, or forgets ends. KEYS: the user's ends, list and clients, or with
-- 'token' the end of one token. ARGV: step, and what the step needs. Needs ends.lua. No end expires by the clock of
-- Redis.
--   'date': dates the token of a login. Appid, second of the login, latest second. Answers the second, or false if the
--     user is blocked; nothing is noted if it is after the latest one.
--   'user': ends all tokens that were issued up to now, unless the token that asks for it has been ended so already.
--     The second up to which tokens may be dated besides, the second of the caller's clock and by how many seconds it
--     may differ, perhaps iat of the token that asks.
--   'block': the same, and then blocks the user's list. Three seconds as before. Its end is put into the stream by a
--     later 'user'. 'unblock' lifts the block. Both answer the number of this change, which orders it before later ones
--     where it is noted beside the user's people.
--   'renew': dates a token that is given without a login. The second of its login, two seconds as before, and how long
--     such a token may live. Answers the present second, or a later one that tokens have been dated with, and notes it:
--     later ends name it too.
--   'app': ends all tokens that were issued in one app up to now, in this very second too. Three seconds as before,
--     appid; or with a last second up to that one, or to a later date that a token has got.
--   'token': ends one token. Answers whether its end is in the stream: 'untold', 'added' or 'told'.
--   'restore': ends again up to a second what has been lost. A field of the user's ends, the second, and how long a
--     token can live, or what renews it: the record is kept so long, because what else was known may be lost, too.
--   'published': notes that an end is in the stream, if no later one waits to be put there, and its date. The field of
--     ends that wait, the end, the date: the record is kept until then at least.
--   'forget': forgets the ends, unless they are needed. The present second, after which nothing is needed; how long a
--     token can live, or what renews it: so long is needed what has no date yet, because it is not in the stream; and
--     how long a token without a login may live. Answers until when they are needed, or false.
-- 'user' and 'app' answer the last second that is ended while the end is not in the stream yet, or false. They always
-- write, so that a repetition also waits until a replica has the end. In front of their answers, and of those of
-- 'block', 'unblock' and 'renew', stands false, or by how much Redis is ahead, if it is by more: then nothing is done.
local step = ARGV[1]

-- The number is not below the second, because a list that was lost may have had later changes than the one that is
-- there now.
local function set_block(state)
  local number = tonumber(string.match(redis.call('HGET', KEYS[2], 'block') or '0', '^%d+')) + 1
  number = string.format('%.0f', math.max(number, tonumber(redis.call('TIME')[1])))
  redis.call('HSET', KEYS[2], 'block', number .. ' ' .. state)
  redis.call('PERSIST', KEYS[2])
  return number
end

-- Nothing else would delete the note of 'renew' where there are no ends.
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
-- A note of 'renew' alone may expire.
redis.call('PERSIST', KEYS[1])
if has_last then
  return {false, end_app_and_tell(ARGV[5], math.max(tonumber(ARGV[6]), latest_dated()))}
end
now = math.max(now, tonumber(ARGV[2]), latest_dated())
if step == 'app' then
  return {false, end_app_and_tell(ARGV[5], now)}
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
-- Last, because Redis takes back nothing of a script that fails: whoever is blocked has the end.
if step == 'block' then
  return {false, set_block('on')}
end
return {false, redis.call('HGET', KEYS[1], 'untold:before')}
