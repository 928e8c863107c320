-- Spends a ticket. KEYS: ticket. ARGV: attempt. Answers {appid, openid, unionid, seconds} or {}; again to
-- the same attempt.
local held = redis.call('HMGET', KEYS[1], 'appid', 'openid', 'unionid', 'taken_by')
if not held[1] or (held[4] and held[4] ~= ARGV[1]) then
  return {}
end
redis.call('HSET', KEYS[1], 'taken_by', ARGV[1])
return {held[1], held[2], held[3] or '', redis.call('TIME')[1]}
