-- Erases a user's list that admits nobody any more, or lets it expire. KEYS: the list, and who is gone from it (one hash slot).
-- ARGV: 'erase' or 'expire', seconds. The list of a blocked user does not expire.
-- Of what is erased a block stays, and for so many seconds the greatest number of those who are gone, so that late commands for
-- one of them change nothing. Answers 1 if nobody is admitted.
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
if ARGV[1] == 'expire' then
  if not block then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
    redis.call('EXPIRE', KEYS[2], ARGV[2])
  end
  return 1
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
    redis.call('EXPIRE', KEYS[1], ARGV[2])
  end
end
return 1
