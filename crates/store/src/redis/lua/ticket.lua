-- Stores a ticket, or redeems it. KEYS: ticket. ARGV: step, and the step's arguments.
--   'keep': stores it. Arguments: seconds, person, unionid ('' if there is none), microsecond and
--     random bits of the exchange, sealed session key.
--   'take': redeems it. Argument: attempt. Answers {the present second, person, unionid,
--     microsecond, random bits, sealed session key}, or false. The same attempt gets the same
--     answer again.
if ARGV[1] == 'keep' then
  redis.call('HSET', KEYS[1], 'person', ARGV[3], 'unionid', ARGV[4], 'at', ARGV[5], 'bits', ARGV[6], 'key', ARGV[7])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return {}
end
local held = redis.call('HMGET', KEYS[1], 'person', 'unionid', 'at', 'bits', 'key', 'taken_by')
if not held[1] or (held[6] and held[6] ~= ARGV[2]) then
  return false
end
redis.call('HSET', KEYS[1], 'taken_by', ARGV[2])
return {redis.call('TIME')[1], held[1], held[2], held[3], held[4], held[5]}
