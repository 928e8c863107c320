-- Dates a user's tokens, or ends them. KEYS: the user's ends. ARGV: step, and what the step needs. Needs ends.lua.
--   'date': dates the token of a login. Appid, second of the login, latest second. Answers the second; nothing is noted if it is
--     after the latest one.
--   'user': ends all tokens that were issued up to now, unless the token that asks for it has been ended so already. Seconds for
--     which ends are kept, the second up to which clocks of Redis may have dated tokens ('' for the present one), iat of the token
--     that asks ('' for none).
--   'app': ends all tokens that were issued in one app up to now, in this very second too. Seconds and second as before, appid; or
--     with a last second up to that one.
--   'published': notes that an end is in the stream, if no later one waits to be put there. How many seconds the user's ends are
--     needed then, the field of ends that wait, the end.
-- 'user' and 'app' answer the last second that is ended while the end is not in the stream yet, or ''.
local step = ARGV[1]
if step == 'date' then
  return date(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
end
local untold
if step == 'user' then
  untold = 'untold:before'
  local before, asked_at = tonumber(redis.call('HGET', KEYS[1], 'before') or '-1'), tonumber(ARGV[4])
  if not asked_at or before < asked_at then
    local now = tonumber(redis.call('TIME')[1])
    before = math.max(before, asked_at or 0, now, tonumber(ARGV[3]) or 0, latest_dated())
    redis.call('HSET', KEYS[1], 'before', before, untold, before)
  end
elseif step == 'app' then
  untold = 'untold:app:' .. ARGV[4]
  local now = math.max(tonumber(redis.call('TIME')[1]), tonumber(ARGV[3]) or 0, latest_dated())
  end_app_and_tell(ARGV[4], tonumber(ARGV[5]) or now)
elseif redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[4] then
  return ''
else
  untold = ARGV[3]
  redis.call('HDEL', KEYS[1], untold)
end
-- Always a write, so that a repetition also waits until a replica has the end.
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[1], untold) or ''
