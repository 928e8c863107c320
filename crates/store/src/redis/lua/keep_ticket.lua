-- Keeps a ticket. KEYS: ticket. ARGV: seconds, appid, openid, unionid, exchange order, sealed session key. The
-- unionid is '' if there is none.
redis.call('HSET', KEYS[1], 'appid', ARGV[2], 'openid', ARGV[3], 'unionid', ARGV[4], 'order', ARGV[5], 'key', ARGV[6])
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 0
