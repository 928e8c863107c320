-- Gives a field of a hash another value, if it still holds the value that is expected. KEYS: hash.
-- ARGV: field, the value that is expected, the new value ('' to delete the field), and how many seconds the hash is needed then,
-- if that has changed.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
  else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  end
  if ARGV[4] then
    redis.call('EXPIRE', KEYS[1], ARGV[4])
  end
end
return 0
