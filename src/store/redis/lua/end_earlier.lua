-- Ends the tokens that a user was issued in one app before a login. Needs end_app.lua.
-- KEYS: the user's ends. ARGV: appid, iat of the login, seconds for which ends are kept.
-- Answers the last second that is ended while the end is not in the stream yet, or ''.
if tonumber(redis.call('HGET', KEYS[1], 'app:' .. ARGV[1]) or '-1') < tonumber(ARGV[2]) then
  end_app(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[2]) - 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], 'untold:app:' .. ARGV[1]) or ''
