-- Sets a key to a new value for the rest of its life, if it has the expected value. KEYS: key.
-- ARGV: the expected value, the new value. Answers 1 if the key has the new value now, else 0.
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  return 1
end
return held == ARGV[2] and 1 or 0
