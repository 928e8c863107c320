-- Keeps a ticket, or spends it. KEYS: ticket. ARGV: step, and what the step needs.
--   'keep': seconds, appid, openid, unionid ('' if there is none), exchange order, sealed session key.
--   'take': attempt. Answers {seconds, appid, openid, unionid, order, key} or {}; again to the same attempt.
if ARGV[1] == 'keep' then
  redis.call('HSET', KEYS[1], 'appid', ARGV[3], 'openid', ARGV[4], 'unionid', ARGV[5], 'order', ARGV[6], 'key', ARGV[7])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return {}
end
local held = redis.call('HMGET', KEYS[1], 'appid', 'openid', 'unionid', 'order', 'key', 'taken_by')
if not held[1] or (held[6] and held[6] ~= ARGV[2]) then
  return {}
end
redis.call('HSET', KEYS[1], 'taken_by', ARGV[2])
return {redis.call('TIME')[1], held[1], held[2], held[3], held[4], held[5]}
