-- Counts a login, keeps its session key beside a binding, and begins to bind a newcomer. Needs silent_login.lua, intend.lua,
-- meter.lua and session.lua. KEYS: binding, session, cell of logins (one hash slot).
-- ARGV: exchange order and sealed key; the time, from which order on the session's life is renewed (16 characters each) and the
-- text of a first login (meter.lua); 'SECONDS LIMIT PART LIFE', where the session lives for seconds and the cell for milliseconds;
-- and if there is an intent its user, and whether wxmint makes the user. They are few because each costs Redis 0.5 µs.
-- How often the person has logged in lately stands in the session where there is one, because a key that is made and expires
-- costs more than all else here; otherwise in the cell.
-- Answers '+' if the session key is kept, otherwise '-', and behind it the number of the part that must leave the period before
-- the login is counted, if it was not.
-- Repeated with the same arguments it counts once more, and otherwise changes nothing and answers the same.
local renewed, first = string.sub(ARGV[2], 17, 32), string.sub(ARGV[2], 33)
local seconds, limit, part, life = string.match(ARGV[3], '^(%d+) (%d+) (%d+) (%d+)$')
local logins, current, previous = session()
local keeps = current
if not current then
  logins = redis.call('GET', KEYS[3]) or ''
end
local text, last = counted(logins, first, limit, part)

-- Only who is bound, or is being bound, and is not blocked has a session.
if not current then
  local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'intent_user', 'leaving_user', 'block_of', 'block')
  local user, intended, own = held[2], held[3], ARGV[4]
  local blocked = user and held[5] == user and string.sub(held[6], -2) == 'on'
  -- Only if the person was never bound: a repetition must not undo a dissolution that came between.
  if text and own and not (user or intended or held[4]) and (held[1] or '0') == '0' then
    intend(own, ARGV[5], '')
    intended = own
  end
  keeps = user and not blocked or not user and own and intended == own
end
-- Also over the limit, because WeChat has forgotten the old key.
if keeps then
  keep_key(text or logins, current, previous, ARGV[1], seconds, renewed)
elseif text then
  redis.call('SET', KEYS[3], text, 'PX', life)
end
return (keeps and '+' or '-') .. (last or '')
