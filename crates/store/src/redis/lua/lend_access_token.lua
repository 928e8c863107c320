-- Lends an app's access token, or the lease to fetch one. KEYS: access token. ARGV: attempt id,
-- fingerprint of a token that counts as missing ('' for none), lease (ms). Answers {'token' or
-- 'renew', sealed, fingerprint, ms until it expires}, or 'fetch', 'wait' or 'failed' before '', ''
-- and 0. A repetition by the same attempt gets the same lease again.
local attempt, bad = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local kept = redis.call('HMGET', KEYS[1], 'sealed', 'fingerprint', 'renew_from', 'expires', 'holder', 'until', 'life')
local expires = tonumber(kept[4] or 0)
-- A token with a longer rest of life than its whole life was fetched before the clock stepped back,
-- so it is unknown when it expires at WeChat.
if kept[7] and expires > now + kept[7] then
  expires, kept[3] = now + kept[7], 0
  redis.call('HSET', KEYS[1], 'expires', expires, 'renew_from', 0)
end
local good = kept[1] and kept[2] and expires > now and kept[2] ~= bad
local function lent(kind)
  return {kind, good and kept[1] or '', good and kept[2] or '', good and expires - now or 0}
end
if good and tonumber(kept[3] or 0) > now then
  return lent('token')
end

-- A lease that ends later than a lease can was given before the clock stepped back.
local till = tonumber(kept[6] or 0)
if till > now and till <= now + ARGV[3] and kept[5] ~= attempt then
  -- A failed fetch leaves a lease without a holder.
  return lent(good and 'token' or kept[5] == '' and 'failed' or 'wait')
end

till = now + ARGV[3]
redis.call('HSET', KEYS[1], 'holder', attempt, 'until', till, 'renews', good and 1 or 0)
redis.call('PEXPIREAT', KEYS[1], math.max(till, expires))
return lent(good and 'renew' or 'fetch')
