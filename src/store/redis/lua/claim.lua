-- Claims a login code. KEYS: code. ARGV: attempt id, seconds to remember it.
-- Answers {1 or 0, seconds, microseconds}; a claim repeated by its own claimant is granted again.
local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
elseif holder ~= ARGV[1] then
  return {0, 0, 0}
end
local now = redis.call('TIME')
return {1, tonumber(now[1]), tonumber(now[2])}
