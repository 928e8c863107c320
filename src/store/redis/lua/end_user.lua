-- Ends all tokens of a user that were issued up to now, unless the token that asks for it has been ended so already.
-- KEYS: the user's ends. ARGV: issued at, seconds for which ends are kept.
local before = tonumber(redis.call('HGET', KEYS[1], 'before') or '-1')
if before < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'before', math.max(tonumber(ARGV[1]), tonumber(redis.call('TIME')[1])))
end
-- Always a write, so that a repetition also waits until a replica has the end.
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
