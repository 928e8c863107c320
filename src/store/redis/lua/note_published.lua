-- Notes that an end is in the stream, unless it has become a later one. KEYS: the user's ends. ARGV: its name, its second, and
-- for how long the ends are needed. No earlier end of the user is needed for longer: the lives of its tokens were noted too.
if redis.call('HGET', KEYS[1], 'untold:' .. ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], 'untold:' .. ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 0
