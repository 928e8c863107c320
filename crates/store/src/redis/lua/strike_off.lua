-- Strikes a person off a user's list who is gone from it. KEYS: the list, who is gone from it, and the number that is left of the
-- person (one hash slot). ARGV: seconds, person.
-- For so many seconds the number of the person stays, so that late commands change nothing. Where nobody else is on the list, the
-- list itself keeps the greatest number, and a block stays.
local person, floor, block, others = ARGV[2], 0, false, false
if redis.call('HEXISTS', KEYS[1], person) == 1 then
  return 0
end
local number = tonumber(string.match(redis.call('HGET', KEYS[2], person) or '0', '^%d+'))
redis.call('HDEL', KEYS[2], person)
-- That somebody was the first stays, but not who.
if string.find(redis.call('HGET', KEYS[1], 'first') or '', person .. ' ', 1, true) == 1 then
  redis.call('HSET', KEYS[1], 'first', '')
end
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local name, value = all[index], all[index + 1]
  if name == 'block' then
    block = string.sub(value, -2) == 'on' and value
  elseif name == 'floor' then
    floor = math.max(number, tonumber(value))
  elseif name ~= 'first' then
    others = true
  end
end
if others or redis.call('HLEN', KEYS[2]) > 0 then
  if number > 0 then
    redis.call('SET', KEYS[3], number, 'EX', ARGV[1])
  end
elseif #all > 0 or number > 0 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'floor', math.max(number, floor))
  if block then
    redis.call('HSET', KEYS[1], 'block', block)
  else
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
end
return 0
