-- The session keys of a person bound to a user, and leave to try them. KEYS: binding, session, tries (one hash slot).
-- ARGV: user, failures that are too many, window (s), attempt. Answers {'keys', seconds, microseconds, session}, {'not
-- bound'} or {'busy'}. Tries hold how many have failed, and a field for each attempt whose try is under way. Repeated
-- by its attempt, a try is one.
if redis.call('HGET', KEYS[1], 'u') ~= ARGV[1] then
  return {'not bound'}
end
local failed = redis.call('HGET', KEYS[3], 'failed')
local under_way = redis.call('HLEN', KEYS[3]) - (failed and 1 or 0)
if (failed or 0) + under_way >= tonumber(ARGV[2]) and redis.call('HEXISTS', KEYS[3], ARGV[4]) == 0 then
  return {'busy'}
end
local kept = redis.call('GET', KEYS[2]) or ''
redis.call('HSET', KEYS[3], ARGV[4], '')
if not failed then
  redis.call('EXPIRE', KEYS[3], ARGV[3])
end
local time = redis.call('TIME')
return {'keys', time[1], time[2], kept}
