-- Ends the lease to fetch an access token. KEYS: access token. ARGV: attempt id; then for a fetched
-- token: sealed, fingerprint, ms until it is to be renewed, ms until it expires; or after a failed
-- fetch: ms for which no caller fetches, ms for which no caller renews a token that is still valid.
-- Does nothing if the attempt does not hold the lease, so a repetition does nothing.
local kept = redis.call('HMGET', KEYS[1], 'holder', 'renews', 'expires')
if kept[1] ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if #ARGV == 5 then
  redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'fingerprint', ARGV[3],
    'renew_from', now + ARGV[4], 'expires', now + ARGV[5], 'life', ARGV[5])
  redis.call('HDEL', KEYS[1], 'holder', 'until', 'renews')
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
elseif kept[2] == '1' then
  redis.call('HSET', KEYS[1], 'renew_from', now + ARGV[3])
  redis.call('HDEL', KEYS[1], 'holder', 'until', 'renews')
else
  local till = now + ARGV[2]
  redis.call('HSET', KEYS[1], 'holder', '', 'until', till)
  redis.call('PEXPIREAT', KEYS[1], math.max(till, tonumber(kept[3] or 0)))
end
return 1
