-- Erases what is stored of a person who is bound to nobody.
-- KEYS: binding, session, tries, and the cells of logins and of requests (one hash slot). ARGV: seconds for which the number of the
-- last binding stays, so that late commands for it change nothing.
-- Answers {} for somebody who is bound or half bound, or how many records, session keys and counts there were.
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'intent_user', 'leaving_user')
if held[2] or held[3] or held[4] then
  return {}
end
local records = 0
if redis.call('TTL', KEYS[1]) == -1 then
  records = redis.call('DEL', KEYS[1])
  if held[1] then
    redis.call('HSET', KEYS[1], 'generation', held[1])
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
end
return {records, redis.call('DEL', KEYS[2]), redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9])}
