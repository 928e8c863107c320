-- Erases what is stored of a person who is bound to nobody. KEYS: binding, session, the cell of logins, users left, and
-- tries (one hash slot). ARGV: seconds for which the number of the last binding stays, so that late commands for it
-- change nothing; then the users whose lists do not name the person any more. Needs session.lua. Answers {} for
-- somebody who is bound or half bound, or has logged in as a computed user, or how many records, session keys and
-- counts there were.
for index = 2, #ARGV do
  redis.call('HDEL', KEYS[4], ARGV[index])
end
local held = redis.call('HMGET', KEYS[1], 'g', 'u', 'i', 'q')
session()
if held[2] or held[3] or held[4] or owner ~= '' then
  return {}
end
local records = redis.call('HLEN', KEYS[1]) > 1 and 1 or 0
redis.call('DEL', KEYS[1])
if held[1] then
  redis.call('HSET', KEYS[1], 'g', held[1])
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return {records, redis.call('DEL', KEYS[2]), redis.call('DEL', KEYS[3], KEYS[5])}
