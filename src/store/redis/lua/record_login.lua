-- Counts a login, says where the person stands, and keeps the session key. Needs binding.lua, meter.lua and keep_key.lua.
-- KEYS: binding, session, cell (one hash slot).
-- ARGV: exchange order, sealed key, session's seconds, interval, period (microseconds), intent's user ('' for none), made.
-- Answers the fields of the binding, the microseconds until the login would be counted, or 0, and the second in which that was
-- so. They are one text, a line for each, because an array costs Redis 2 µs more.
-- Repeated with the same arguments it counts once more, and otherwise changes nothing and answers the same.
local now = binding()
local wait, value, life = counted(redis.call('GET', KEYS[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
if wait <= 0 then
  redis.call('SET', KEYS[3], value, 'PX', life)
  -- Only if the person was never bound: a repetition must not undo a dissolution that came between.
  if not (now[2] or now[5] or now[8]) and (now[1] or '0') == '0' and ARGV[6] ~= '' then
    intend(ARGV[6], ARGV[7], '')
    now = binding()
  end
end
local user, intended = now[2], now[5]
local blocked = user and now[11] == user and string.sub(now[12], -2) == 'on'
-- Also over the limit, because WeChat has forgotten the old key. LoginRecord::keeps_key is the same condition.
if user and not blocked or not user and intended and intended == ARGV[6] then
  keep_key(ARGV[1], ARGV[2], ARGV[3])
end
for field = 1, 13 do
  now[field] = now[field] or ''
end
now[14], now[15] = wait, redis.call('TIME')[1]
return table.concat(now, '\n')
