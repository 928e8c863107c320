-- Records a login that no plain command could: its person has no session, has logged in too often, or the clock has stepped back
-- since the person's latest login. Counts it, keeps its session key beside a binding, and begins to bind a newcomer. KEYS: binding,
-- session, cell of logins (one hash slot).
-- ARGV: the line that the login has appended to the session if there is one, session's seconds, limit, until when the login counts,
-- until when one of the next part would count, and if there is an intent its user, whether wxmint makes the user, and whether a
-- unionid names the user. Needs session.lua.
-- Answers '+' if the session key is kept, otherwise '-', and behind it until when no login is within the limit, if this one was not.
-- Repeated with the same arguments it counts once more at most, and otherwise changes nothing and answers the same.
local counts, current = session()
if current then
  redis.call('LREM', KEYS[2], 0, ARGV[1])
  counts = session()
else
  add_all(counts, redis.call('GET', KEYS[3]) or '')
end
local full = full_until(counts, tonumber(ARGV[3]), ARGV[5])

-- Only who is bound, or is being bound, and is not blocked has a session.
local keeps = current
if not current then
  local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'intent_user', 'leaving_user', 'block_of', 'block',
    'dissolved')
  local user, intended, own = held[2], held[3], ARGV[6]
  -- Only if the person was never bound: a repetition must not undo a dissolution that came between.
  if not full and own and not (user or intended or held[4] or held[7]) and (held[1] or '0') == '0' then
    intend(0, own, ARGV[7], ARGV[8])
    intended = own
  end
  keeps = user and not is_blocked(user, held[5], held[6]) or not user and own and intended == own
end
if keeps then
  -- Also over the limit, because WeChat has forgotten the old key.
  keep_line(full and uncounted(ARGV[1]) or ARGV[1], not current and counts, ARGV[2])
elseif not full then
  counts[ARGV[4]] = (counts[ARGV[4]] or 0) + 1
  keep_counts(counts)
end
return (keeps and '+' or '-') .. (full or '')
