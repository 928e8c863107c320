-- Notes that an end is in the stream, if no later one waits to be put there. KEYS: the user's ends. ARGV: the field of ends that wait,
-- the end, and how many seconds the user's ends are needed then.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 0
