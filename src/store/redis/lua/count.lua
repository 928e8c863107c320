-- Counts an event. KEYS: cell. ARGV: interval, period (microseconds). Needs meter.lua.
return count(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
