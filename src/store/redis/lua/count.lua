-- Counts an event. KEYS: cell. ARGV: interval, period (microseconds). Needs meter.lua.
local wait, value, life = counted(redis.call('GET', KEYS[1]), tonumber(ARGV[1]), tonumber(ARGV[2]))
if wait == 0 then
  redis.call('SET', KEYS[1], value, 'PX', life)
end
return wait
