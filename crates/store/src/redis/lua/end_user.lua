-- Ends all tokens of a user that were issued up to now, unless the token that asks for it has been ended so already.
-- Needs date.lua. KEYS: the user's ends. ARGV: iat of the token that asks ('' for none), seconds for which ends are kept, the second
-- up to which clocks of Redis may have dated tokens ('' for the present one).
-- Answers the last second that is ended while the end is not in the stream yet, or ''.
local before = tonumber(redis.call('HGET', KEYS[1], 'before') or '-1')
local asked_at = tonumber(ARGV[1])
if not asked_at or before < asked_at then
  local now = tonumber(redis.call('TIME')[1])
  before = math.max(before, asked_at or 0, now, tonumber(ARGV[3]) or 0, latest_dated())
  redis.call('HSET', KEYS[1], 'before', before, 'untold:before', before)
end
-- Always a write, so that a repetition also waits until a replica has the end.
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[1], 'untold:before') or ''
