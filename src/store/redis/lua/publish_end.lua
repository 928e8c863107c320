-- Puts an end into the stream. KEYS: the stream. ARGV: the end, seconds for which the stream keeps it.
local oldest = (tonumber(redis.call('TIME')[1]) - tonumber(ARGV[2])) * 1000
redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(oldest, 0)), '*', 'end', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
