-- Keeps a session key, if the person is bound, has this generation and is not blocked. KEYS: binding, session, cell of logins (one
-- hash slot). ARGV: generation, line of the session, session's seconds, '1' if there must be a session still: the key is the
-- successor of one that a logout may have dropped meanwhile. Needs limit.lua and session.lua.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'block_of', 'block')
if held[1] == ARGV[1] and held[2] and not is_blocked(held[2], held[3], held[4]) then
  local counts, current = session()
  if current or ARGV[4] ~= '1' then
    add_all(counts, current and '' or redis.call('GET', KEYS[3]) or '')
    keep_line(ARGV[2], not current and counts, ARGV[3])
  end
end
return 0
