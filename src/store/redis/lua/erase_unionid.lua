-- Erases the link of a unionid to a user. KEYS: union. ARGV: user. Answers 1 if it was linked so.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
