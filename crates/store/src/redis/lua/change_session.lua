-- Changes the session keys of a person, or what decides whether the person may have any. KEYS: binding, session, cell of logins
-- (one hash slot). ARGV: step, and what the step needs. Needs session.lua.
--   'forget': drops them.
--   'shorten': makes the session of somebody who logs in often short.
--   'keep': keeps one, if the person is bound, has this generation and is not blocked. Generation, line of the session, session's
--     seconds, '1' if there must be a session still: the key is the successor of one that a logout may have dropped meanwhile.
--   'block': notes that the person's user is blocked or not, unless a later change is noted already. Who is blocked has no session
--     keys. User, number of the change, 'on' or 'off'.
local step = ARGV[1]
if step == 'forget' then
  drop_keys()
elseif step == 'shorten' then
  shorten()
elseif step == 'keep' then
  local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'block_of', 'block')
  if held[1] == ARGV[2] and held[2] and not is_blocked(held[2], held[3], held[4]) then
    local counts, current = session()
    if current or ARGV[5] ~= '1' then
      add_all(counts, current and '' or redis.call('GET', KEYS[3]) or '')
      keep_line(ARGV[3], not current and counts, ARGV[4])
    end
  end
elseif step == 'block' then
  local held = redis.call('HMGET', KEYS[1], 'user_id', 'intent_user', 'block_of', 'block')
  local number = held[3] == ARGV[2] and tonumber(string.match(held[4], '^%d+')) or 0
  if (held[1] == ARGV[2] or held[2] == ARGV[2]) and number <= tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], 'block_of', ARGV[2], 'block', ARGV[3] .. ' ' .. ARGV[4])
    if ARGV[4] == 'on' then
      drop_keys()
    end
  end
end
return 0
