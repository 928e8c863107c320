-- Erases who is gone from a user's list, unless somebody is admitted. KEYS: the user's list, and who is gone from it. ARGV:
-- seconds for which the greatest of their numbers stays, so that late commands for one of them change nothing. A block stays.
-- Answers 1 if nobody is left.
local all = redis.call('HGETALL', KEYS[1])
local floor, block = 0, false
for index = 1, #all, 2 do
  local name, value = all[index], all[index + 1]
  if name == 'block' then
    block = string.sub(value, -2) == 'on' and value
  elseif name == 'floor' then
    floor = math.max(floor, tonumber(value))
  elseif name ~= 'first' then
    return 0
  end
end
local gone = redis.call('HGETALL', KEYS[2])
for index = 2, #gone, 2 do
  floor = math.max(floor, tonumber(string.match(gone[index], '^%d+')))
end
if #gone > 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'floor', floor)
  if block then
    redis.call('HSET', KEYS[1], 'block', block)
  else
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
end
return 1
