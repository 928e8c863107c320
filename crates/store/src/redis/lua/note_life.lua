-- Notes that tokens of this life are issued now. KEYS: the lives, each with the second up to which such a token may be
-- left. ARGV: the life, how long until it is noted again at the latest, the second of the caller's clock. Forgets a
-- life only if it has passed by both clocks.
local now = tonumber(redis.call('TIME')[1])
local earlier, later = math.min(now, ARGV[3]), math.max(now, ARGV[3])
local lives = redis.call('HGETALL', KEYS[1])
for index = 1, #lives, 2 do
  if tonumber(lives[index + 1]) < earlier then
    redis.call('HDEL', KEYS[1], lives[index])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], later + ARGV[1] + ARGV[2])
redis.call('PERSIST', KEYS[1])
return 0
