-- Ends one token. KEYS: the user's ends. ARGV: token id, the second up to which it is remembered, seconds for which ends are
-- kept. Answers that second while the end is not in the stream yet, or ''.
local now = tonumber(redis.call('TIME')[1])
local ends = redis.call('HGETALL', KEYS[1])
for index = 1, #ends, 2 do
  local name = ends[index]
  if name ~= 'before' and not string.find(name, ':', 1, true) and tonumber(ends[index + 1]) < now then
    redis.call('HDEL', KEYS[1], name, 'untold:' .. name)
  end
end
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('HSET', KEYS[1], 'untold:' .. ARGV[1], ARGV[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], 'untold:' .. ARGV[1]) or ''
