-- Ends all tokens that a user was issued in one app up to now, in this very second too. Needs end_app.lua.
-- KEYS: the user's ends. ARGV: appid, seconds for which ends are kept, the greatest time of all primaries of a Cluster ('' elsewhere).
-- Answers the last second that is ended while the end is not in the stream yet, or ''.
local second = math.max(tonumber(redis.call('TIME')[1]), tonumber(ARGV[3]) or 0)
end_app(ARGV[1], second + 1, second)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[1], 'untold:app:' .. ARGV[1]) or ''
