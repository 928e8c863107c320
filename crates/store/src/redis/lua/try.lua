-- A try to use a person's session keys. KEYS: binding, session, login counter, tries (one hash
-- slot). ARGV: step, the number of failures that is too many, window (s), attempt, and the step's
-- arguments. Needs session.lua. The tries have the number of failures, and a field for each attempt
-- that is in progress. A step that is repeated by its attempt takes effect once.
--   'open': begins a try. Arguments: user, and the user as the owner of a session. Answers {'keys',
--     seconds, microseconds, session}, or the same with 'not bound' or 'busy' and an empty session.
--   'close': ends a try. Argument: '1' for a failure. Answers 1 if this failure deleted the session
--     keys, else 0.
if ARGV[1] == 'open' then
  if redis.call('HGET', KEYS[1], 'u') ~= ARGV[5] then
    session()
    if owner ~= ARGV[6] then
      return {'not bound', time[1], time[2], ''}
    end
  end
  local failed = redis.call('HGET', KEYS[4], 'failed')
  local under_way = redis.call('HLEN', KEYS[4]) - (failed and 1 or 0)
  if (failed or 0) + under_way >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[4], ARGV[4]) == 0 then
    return {'busy', time[1], time[2], ''}
  end
  local kept = redis.call('GET', KEYS[2]) or ''
  redis.call('HSET', KEYS[4], ARGV[4], '')
  if not failed then
    redis.call('EXPIRE', KEYS[4], ARGV[3])
  end
  return {'keys', time[1], time[2], kept}
end
if redis.call('HDEL', KEYS[4], ARGV[4]) == 0 or ARGV[5] ~= '1' then
  return 0
end
local failed = redis.call('HINCRBY', KEYS[4], 'failed', 1)
if failed == 1 then
  redis.call('EXPIRE', KEYS[4], ARGV[3])
end
if failed < tonumber(ARGV[2]) then
  return 0
end
redis.call('DEL', KEYS[4])
drop_keys()
return 1
