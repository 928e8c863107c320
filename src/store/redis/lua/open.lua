-- The session keys of a person bound to a user, and leave to try them. KEYS: binding, session, tries (one hash slot).
-- ARGV: user, milliseconds for which a replaced key is kept, failures that are too many, window (s). Needs kept_keys.lua.
-- Answers {'keys', seconds, microseconds, key...}, {'not bound'} or {'busy'}.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1] then
  return {'not bound'}
end
local tries = redis.call('HMGET', KEYS[3], 'failed', 'pending')
if (tries[1] or 0) + (tries[2] or 0) >= tonumber(ARGV[3]) then
  return {'busy'}
end
redis.call('HINCRBY', KEYS[3], 'pending', 1)
if not tries[1] then
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
local keys, now = kept_keys(KEYS[2], ARGV[2])
return {'keys', now[1], now[2], unpack(keys)}
