-- Notes that a token may be left until it expires. KEYS: who has tokens of a client, or of which clients a user has
-- some. ARGV: member, exp, the second of the caller's clock. Members whose last token has expired by both clocks are
-- dropped, and the set expires an hour after the last of them, counted from now: whatever ends the tokens finds them by
-- it, so the difference of the clocks lengthens its life and never shortens it.
local now = math.min(redis.call('TIME')[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
redis.call('ZADD', KEYS[1], math.max(tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')), ARGV[1])
local latest = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
redis.call('EXPIRE', KEYS[1], math.max(0, latest - now) + 3600)
return 1
