-- Erases the data of a person who is not bound. KEYS: binding, session, login counter, users left,
-- and tries (one hash slot). ARGV: seconds for which the generation of the last binding is kept, so
-- that late commands for it change nothing; then the users whose lists no longer name the person.
-- Needs session.lua. Answers {} for a person who is bound, is being bound or unbound, or has logged
-- in as a computed user; otherwise the numbers of erased records, session keys and counters.
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
