-- Puts a session key under a newer vault key. KEYS: session. ARGV: old, new.
for _, name in ipairs({'current_key', 'previous_key'}) do
  if redis.call('HGET', KEYS[1], name) == ARGV[1] then
    redis.call('HSET', KEYS[1], name, ARGV[2])
  end
end
return 0
