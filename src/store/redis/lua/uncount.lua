-- Takes an event back. KEYS: cell. ARGV: interval (microseconds). Needs meter.lua.
local now, next = now_micros(), tonumber(redis.call('GET', KEYS[1]) or '0') - tonumber(ARGV[1])
if next > now then
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
return 0
