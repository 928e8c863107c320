-- Keeps a session key, if the person is bound and has this generation. KEYS: binding, session, cell of logins (one hash slot).
-- ARGV: generation, line of the session, session's seconds. Needs limit.lua and session.lua.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id')
if held[1] == ARGV[1] and held[2] then
  local counts, current = session()
  add_all(counts, current and '' or redis.call('GET', KEYS[3]) or '')
  keep_line(ARGV[2], not current and counts, ARGV[3])
end
return 0
