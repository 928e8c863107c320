-- Changes a user's list. KEYS: the list, who is gone from it, and the number that is left of a person who was struck
-- off (one hash slot). ARGV: step, seconds, and what the step needs.
--   'expire': lets the list expire if it admits nobody any more, unless the user is blocked.
--   'see': notes a person whose user id was computed. The list expires if it has no others, nor a block. Person, day
--     with its sign.
--   'strike': strikes a person off who is gone from it, or whose user id was computed. For so many seconds the number
--     of who is gone stays, so that late commands change nothing. Where nobody else is on the list, the list itself
--     keeps the greatest number, and a block stays. Person.
local person, number, floor, is_blocked, others = ARGV[3], 0, 0, false, false
if ARGV[1] == 'see' then
  redis.call('HSET', KEYS[1], person, ARGV[4])
elseif person then
  local held = redis.call('HGET', KEYS[1], person)
  if held then
    return string.sub(held, -1) == 'c' and redis.call('HDEL', KEYS[1], person) or 0
  end
  number = tonumber(string.match(redis.call('HGET', KEYS[2], person) or '0', '^%d+'))
  if number == 0 then
    return 0
  end
end
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local name, value = all[index], all[index + 1]
  if name == 'block' then
    is_blocked = string.sub(value, -2) == 'on'
  elseif name == 'floor' then
    floor = tonumber(value)
  elseif name ~= 'ended' and (ARGV[1] ~= 'see' or string.sub(value, -1) ~= 'c') then
    others = true
  end
end
if ARGV[1] ~= 'strike' then
  if not others and not is_blocked then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
    redis.call('EXPIRE', KEYS[2], ARGV[2])
  end
  return 0
elseif others or redis.call('HLEN', KEYS[2]) > 1 then
  redis.call('SET', KEYS[3], number, 'EX', ARGV[2])
else
  redis.call('HSET', KEYS[1], 'floor', math.max(number, floor))
  redis.call('HDEL', KEYS[1], 'ended')
  if not is_blocked then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
  end
end
-- Last, because Redis takes back nothing of a script that fails, and a repetition finds the number.
return redis.call('HDEL', KEYS[2], person)
