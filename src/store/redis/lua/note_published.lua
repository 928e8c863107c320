-- Notes that an end is in the stream, unless it has become a later one. KEYS: the user's ends. ARGV: its name, its second.
if redis.call('HGET', KEYS[1], 'untold:' .. ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], 'untold:' .. ARGV[1])
end
return 0
