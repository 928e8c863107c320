-- Counts an event, or takes one back if the interval is negative. KEYS: cell. ARGV: interval, period (microseconds).
-- Needs meter.lua. Answers 0, or the microseconds until the event would be counted.
local wait, value, life = counted(redis.call('GET', KEYS[1]), tonumber(ARGV[1]), tonumber(ARGV[2]))
if wait > 0 then
  return wait
end
if life > 0 then
  redis.call('SET', KEYS[1], value, 'PX', life)
else
  redis.call('DEL', KEYS[1])
end
return 0
