-- Ends all tokens that a user was issued in one app up to now, in this very second too. Needs date.lua and end_app.lua.
-- KEYS: the user's ends. ARGV: appid, seconds for which ends are kept, the second up to which clocks of Redis may have dated tokens
-- ('' for the present one).
-- Answers the last second that is ended while the end is not in the stream yet, or ''.
end_app_and_tell(ARGV[1], math.max(tonumber(redis.call('TIME')[1]), tonumber(ARGV[3]) or 0, latest_dated()))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[1], 'untold:app:' .. ARGV[1]) or ''
