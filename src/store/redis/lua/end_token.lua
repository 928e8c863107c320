-- Ends one token. KEYS: the user's ends. ARGV: token id, the second up to which it is remembered, seconds for which ends are kept.
local now = tonumber(redis.call('TIME')[1])
local ends = redis.call('HGETALL', KEYS[1])
for index = 1, #ends, 2 do
  local name = ends[index]
  if name ~= 'before' and string.sub(name, 1, 4) ~= 'app:' and tonumber(ends[index + 1]) < now then
    redis.call('HDEL', KEYS[1], name)
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 0
