-- Erases the people on a user's list, unless one of them is admitted. KEYS: the user's list. ARGV: seconds for which the greatest
-- of their numbers stays, so that late commands for one of them change nothing. A block stays.
-- Answers 1 if nobody is left on the list.
local all = redis.call('HGETALL', KEYS[1])
local floor, people, block = 0, 0, false
for index = 1, #all, 2 do
  local name, value = all[index], all[index + 1]
  if name == 'block' then
    block = string.sub(value, -2) == 'on' and value
  elseif name == 'floor' then
    floor = math.max(floor, tonumber(value))
  elseif name ~= 'first' then
    local number, sign = string.match(value, '^(%d+)(.)$')
    if sign == '+' then
      return 0
    end
    floor, people = math.max(floor, tonumber(number)), people + 1
  end
end
if people > 0 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'floor', floor)
  if block then
    redis.call('HSET', KEYS[1], 'block', block)
  else
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
end
return 1
