-- Writes down that a unionid has been looked at. KEYS: binding. ARGV: user, unionid, user in conflict ('' for none).
-- Answers 1 if the conflict is news.
if redis.call('HGET', KEYS[1], 'user_id') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'unionid', ARGV[2])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'unionid_conflict')
  return 0
end
local known = redis.call('HGET', KEYS[1], 'unionid_conflict') == ARGV[3]
redis.call('HSET', KEYS[1], 'unionid_conflict', ARGV[3])
return known and 0 or 1
