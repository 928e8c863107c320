-- Notes that no revocation covers the token of a login, so that the person's next logins need not
-- look revocations up. Does nothing if the session keys were deleted less than 2 s before the
-- login, because the revocation that belongs to that may not have been made yet. KEYS: binding.
-- ARGV: second of the login.
local dropped = tonumber(redis.call('HGET', KEYS[1], 'd') or ARGV[1])
if dropped + 2 < tonumber(ARGV[1]) then
  redis.call('HDEL', KEYS[1], 'd')
end
return 0
