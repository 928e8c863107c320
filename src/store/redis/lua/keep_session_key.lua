-- Keeps a session key, if the person is bound and has this generation. KEYS: binding, session (one hash slot).
-- ARGV: generation, order, sealed key, session's seconds. Needs keep_key.lua.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id')
if held[1] == ARGV[1] and held[2] then
  keep_key(ARGV[2], ARGV[3], ARGV[4])
end
return 0
