-- Gives a claimed code back. KEYS: code. ARGV: attempt id.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
