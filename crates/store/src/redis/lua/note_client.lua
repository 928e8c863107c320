-- Notes that a token may be left until it expires. KEYS: who has tokens of a client, or of which clients a user has some. ARGV:
-- member, exp. Members whose last token has expired are dropped, and the set expires with the last one.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
redis.call('ZADD', KEYS[1], math.max(tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')), ARGV[1])
redis.call('EXPIRE', KEYS[1], string.format('%.0f', redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2] - now))
return 1
