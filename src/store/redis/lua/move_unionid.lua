-- Links a unionid to a user for good, unless it is linked to somebody whom the caller does not expect. KEYS: the link.
-- ARGV: the user whom it may be taken from, the user. Answers whom it is linked to now.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[2] then
  return held
end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
