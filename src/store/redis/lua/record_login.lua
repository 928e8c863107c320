-- Keeps a session key, counts the login, and says where the person stands. Needs binding_state.lua, meter.lua
-- and keep_key.lua.
-- KEYS: binding, session, cell (one hash slot).
-- ARGV: attempt, exchange order, sealed key, session's seconds, interval, period, intent's user ('' for none), made.
-- Answers what binding_state.lua does, and the second in which it was so.
-- Repeated with the same arguments it counts once more, and otherwise changes nothing and answers the same.
keep_key(ARGV[2], ARGV[3], ARGV[4])

local wait, value, life = counted(redis.call('GET', KEYS[3]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if wait > 0 then
  return 'limited ' .. string.format('%.0f', wait)
end
redis.call('SET', KEYS[3], value, 'PX', life)
local now = binding_state(ARGV[1])
-- For who was never bound: a repetition is to undo no dissolution that came between.
if now[1] == 'free' and now[2] == '0' and ARGV[7] ~= '' then
  intend(ARGV[7], ARGV[8], '')
  now = binding_state(ARGV[1])
end
now[8] = redis.call('TIME')[1]
return told(now)
