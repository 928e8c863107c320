-- Revokes a token until it expires, or all that were issued up to now. KEYS: what was revoked.
-- ARGV: token id or 'before', expiry of the token or the second up to which, seconds for which it is remembered.
local time = redis.call('TIME')[1]
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  if all[index] ~= 'before' and tonumber(all[index + 1]) < tonumber(time) then
    redis.call('HDEL', KEYS[1], all[index])
  end
end
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or tonumber(held) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 0
