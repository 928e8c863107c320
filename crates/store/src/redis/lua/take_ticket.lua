-- Spends a ticket. KEYS: ticket. ARGV: attempt. Answers {seconds, appid, openid, unionid, order, key} or {}; again to
-- the same attempt.
local held = redis.call('HMGET', KEYS[1], 'appid', 'openid', 'unionid', 'order', 'key', 'taken_by')
if not held[1] or (held[6] and held[6] ~= ARGV[1]) then
  return {}
end
redis.call('HSET', KEYS[1], 'taken_by', ARGV[1])
return {redis.call('TIME')[1], held[1], held[2], held[3], held[4], held[5]}
