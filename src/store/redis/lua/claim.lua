-- Claims a login code. KEYS: code. ARGV: attempt id, seconds to remember it.
-- Answers the time in microseconds, or 0 if another attempt has claimed it. A claim that is repeated is granted again.
local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
elseif holder ~= ARGV[1] then
  return 0
end
local now = redis.call('TIME')
return now[1] * 1000000 + now[2]
