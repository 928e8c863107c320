-- Counts a logout, and forgets the session keys of the person. KEYS: binding, session, cell (one hash slot). ARGV: interval,
-- period (microseconds). Needs meter.lua and forget_keys.lua. Answers 0, or the microseconds until it would be counted.
local wait, value, life = counted(redis.call('GET', KEYS[3]), tonumber(ARGV[1]), tonumber(ARGV[2]))
if wait == 0 then
  redis.call('SET', KEYS[3], value, 'PX', life)
  forget_keys()
end
return wait
