-- A budget of an app that strangers share. KEYS: the reservations of all addresses, and those of
-- this address (one hash slot). Both are sorted sets, scored by the milliseconds since 1970 at
-- which a reservation expires. ARGV: the step, the id of the reservation, and the step's arguments.
-- A repeated step changes nothing.
-- - 'take': milliseconds for which a reservation counts, the total for all addresses, how many an
--   address may have and still count as taking little. Returns 0, or the milliseconds to wait if
--   the reservation is refused.
-- - 'give back': no arguments. Returns 0.
if ARGV[1] == 'give back' then
  redis.call('ZREM', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local period, total, little = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Also removes reservations that expire later than any can: they were made before the clock stepped
-- back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + period + 1, '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], now + period + 1, '+inf')
if redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  return 0
end
local all, own = redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])
-- An address that takes more than a little takes from the first half, and at most a tenth of what
-- is left of it.
if all >= total or own >= little and own >= (total / 2 - all) / 10 then
  local first
  if own >= little then
    first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  else
    first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  end
  return math.max(1, first[2] - now)
end
redis.call('ZADD', KEYS[1], now + period, ARGV[2])
redis.call('PEXPIRE', KEYS[1], period)
redis.call('ZADD', KEYS[2], now + period, ARGV[2])
redis.call('PEXPIRE', KEYS[2], period)
return 0
