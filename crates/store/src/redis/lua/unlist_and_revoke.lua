-- Removes a person from a user's list, and revokes the user's tokens of that app. Needs
-- revocations.lua. KEYS: the user's revocations, the list, the user's clients, the persons who have
-- left the list, and the generation of the person if the person was erased from it (one hash slot).
-- ARGV: person, generation, appid, the second in which the person left. Answers the last second of
-- a revocation that is not in the stream yet, or false.
local held = redis.call('HGET', KEYS[2], ARGV[1]) or redis.call('HGET', KEYS[4], ARGV[1]) or ''
local decided, sign = string.match(held, '^(%d+)(.)$')
local erased = math.max(tonumber(redis.call('HGET', KEYS[2], 'floor') or '0'), tonumber(redis.call('GET', KEYS[5]) or '0'))
if math.max(tonumber(decided or 0) - 1, erased) >= tonumber(ARGV[2]) then
  return false
end
if sign ~= '-' then
  redis.call('PERSIST', KEYS[1])
  local unpublished = revoke_app_to_publish(ARGV[3], math.max(tonumber(ARGV[4]), latest_dated()))
  -- This comes last, because Redis undoes nothing if a script fails, and a repetition that finds
  -- the sign skips this part.
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[2] .. '-')
  return unpublished
end
-- This writes, so that a repetition also waits until a replica has the revocation.
redis.call('HSET', KEYS[1], 'app:' .. ARGV[3], redis.call('HGET', KEYS[1], 'app:' .. ARGV[3]) or ARGV[4] + 1)
return redis.call('HGET', KEYS[1], 'untold:app:' .. ARGV[3])
