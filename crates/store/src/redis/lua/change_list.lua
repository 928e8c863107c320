-- Changes a user's list. KEYS: the list, the persons who have left it, and the generation of a
-- person who was erased from it (one hash slot). ARGV: step, seconds, and the step's arguments.
--   'expire': lets the list expire if it has no persons, unless the user is blocked.
--   'see': notes a person with a computed user id. The list expires if it has no other kind of
--     persons and no block. Arguments: person, day with its sign.
--   'strike': erases a person who has left the list, or has a computed user id. The generation of a
--     person who has left is kept for so many seconds, so that late commands change nothing. If
--     there are no other persons, the list itself keeps the greatest generation. A block stays.
--     Argument: person.
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
-- This comes last, because Redis undoes nothing if a script fails, and a repetition needs the
-- generation.
return redis.call('HDEL', KEYS[2], person)
