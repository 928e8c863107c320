-- Keeps a ticket. KEYS: ticket. ARGV: appid, openid, unionid ('' for none), seconds.
redis.call('HSET', KEYS[1], 'appid', ARGV[1], 'openid', ARGV[2], 'unionid', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 0
