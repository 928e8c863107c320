-- Notes that tokens of this life are issued now. KEYS: the lives, each with the second up to which such a token may be left. ARGV:
-- the life, how long until it is noted again at the latest, seconds for which the lives are kept.
local now = tonumber(redis.call('TIME')[1])
local lives = redis.call('HGETALL', KEYS[1])
for index = 1, #lives, 2 do
  if tonumber(lives[index + 1]) < now then
    redis.call('HDEL', KEYS[1], lives[index])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], now + ARGV[1] + ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 0
