-- Keeps a session key, if the person is bound and has this generation. KEYS: binding, session, cell of logins (one hash slot).
-- ARGV: generation, order and sealed key, session's seconds, from which order on its life is renewed. Needs session.lua.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id')
if held[1] == ARGV[1] and held[2] then
  local logins, current, previous = session()
  keep_key(logins or redis.call('GET', KEYS[3]) or '', current, previous, ARGV[2], ARGV[3], ARGV[4])
end
return 0
