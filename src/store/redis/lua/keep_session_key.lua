-- Keeps a session key, if the person is bound and has this generation. KEYS: binding, session, cell of logins (one hash slot).
-- ARGV: generation, order, sealed key, session's seconds, from which order on its life is renewed. Needs keep_key.lua.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id')
if held[1] == ARGV[1] and held[2] then
  local kept = kept_keys()
  keep_key(kept, ARGV[2], ARGV[3], ARGV[4], ARGV[5], kept[4] or redis.call('GET', KEYS[3]) or '')
end
return 0
