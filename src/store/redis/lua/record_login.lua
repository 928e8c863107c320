-- Counts a login, says where the person stands, and keeps the session key. Needs binding_state.lua, meter.lua and keep_key.lua.
-- KEYS: binding, session, cell (one hash slot).
-- ARGV: attempt, exchange order, sealed key, session's seconds, interval, period, intent's user ('' for none), made.
-- Answers what binding_state.lua does, and the second in which it was so.
-- Repeated with the same arguments it counts once more, and otherwise changes nothing and answers the same.
local now = binding_state(ARGV[1])
local wait, value, life = counted(redis.call('GET', KEYS[3]), tonumber(ARGV[5]), tonumber(ARGV[6]))
if wait <= 0 then
  redis.call('SET', KEYS[3], value, 'PX', life)
  -- For who was never bound: a repetition is to undo no dissolution that came between.
  if now[1] == 'free' and now[2] == '0' and ARGV[7] ~= '' then
    intend(ARGV[7], ARGV[8], '')
    now = binding_state(ARGV[1])
  end
end
-- Over the limit too, because WeChat has forgotten the old key. LoginRecord::keeps_key is the same condition.
if now[1] == 'bound' and now[6] == '' or now[1] == 'intended' and now[3] == ARGV[7] then
  keep_key(ARGV[2], ARGV[3], ARGV[4])
end
if wait > 0 then
  return 'limited ' .. string.format('%.0f', wait)
end
now[8] = redis.call('TIME')[1]
return told(now)
