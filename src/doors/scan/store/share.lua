-- A budget of an app that strangers share. KEYS: what of it all addresses have, what this address has (one hash slot):
-- sorted sets of what was taken, each by the milliseconds since 1970 from which on it counts no more. ARGV: step, id of
-- what is taken, and what the step needs. A repeated step changes nothing.
--   'take': milliseconds for which it counts, how much there is for all, how much of it anybody has who takes little.
--     Answers 0, or the milliseconds to wait if it is not taken.
--   'give back'. Answers 0.
if ARGV[1] == 'give back' then
  redis.call('ZREM', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local period, total, little = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Also what lies further ahead than anything can: it was taken before the clock stepped back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + period + 1, '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], now + period + 1, '+inf')
if redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  return 0
end
local all, own = redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])
-- Whoever takes more than a little has it of the first half, and no more than a tenth of what is left there.
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
