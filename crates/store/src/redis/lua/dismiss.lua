-- Takes a person off a user's list, and ends the user's tokens of that app. Needs ends.lua. KEYS: the user's ends, the
-- list, the user's clients, who is gone from the list, and the number of the person if the person was struck off (one
-- hash slot). ARGV: person, generation, appid, the second in which the person left. Answers the last second that is
-- ended while the end is not in the stream yet, or false.
local held = redis.call('HGET', KEYS[2], ARGV[1]) or redis.call('HGET', KEYS[4], ARGV[1]) or ''
local decided, sign = string.match(held, '^(%d+)(.)$')
local erased = math.max(tonumber(redis.call('HGET', KEYS[2], 'floor') or '0'), tonumber(redis.call('GET', KEYS[5]) or '0'))
if math.max(tonumber(decided or 0) - 1, erased) >= tonumber(ARGV[2]) then
  return false
end
if sign ~= '-' then
  redis.call('PERSIST', KEYS[1])
  local untold = end_app_and_tell(ARGV[3], math.max(tonumber(ARGV[4]), latest_dated()))
  -- Last, because Redis takes back nothing of a script that fails, and a repetition finds the sign.
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[2] .. '-')
  return untold
end
-- A write, so that a repetition also waits until a replica has the end.
redis.call('HSET', KEYS[1], 'app:' .. ARGV[3], redis.call('HGET', KEYS[1], 'app:' .. ARGV[3]) or ARGV[4] + 1)
return redis.call('HGET', KEYS[1], 'untold:app:' .. ARGV[3])
