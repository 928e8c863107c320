-- Keeps an access token that was fetched under a lease, and ends the lease. KEYS: access token.
-- ARGV: attempt id, sealed token, fingerprint, ms until it is to be renewed, ms until it expires.
-- Does nothing where the attempt holds no lease, so also when it is repeated.
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'fingerprint', ARGV[3],
  'renew_from', now + ARGV[4], 'expires', now + ARGV[5])
redis.call('HDEL', KEYS[1], 'holder', 'until', 'renews')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
