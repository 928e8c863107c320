-- Notes that a token may be left until it expires. KEYS: the users of a client, or the clients of a
-- user. ARGV: member, exp; for a client also the second of the caller's clock: members whose last
-- token has expired by both clocks are deleted. The notes of a user are found in both places by
-- their date and purged. No set expires by the clock of Redis, because revocations find the tokens
-- by these sets.
if ARGV[3] then
  local now = math.min(redis.call('TIME')[1], ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
end
redis.call('ZADD', KEYS[1], math.max(tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')), ARGV[1])
return 1
