-- Ends a try. KEYS: binding, session, cell of logins, tries (one hash slot).
-- ARGV: '1' for a failure, failures that are too many, window (s), attempt. Needs session.lua.
-- Answers 1 if the session key was dropped for it. Repeated, it finds no try under way and does nothing.
if redis.call('HDEL', KEYS[4], ARGV[4]) == 0 or ARGV[1] ~= '1' then
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
