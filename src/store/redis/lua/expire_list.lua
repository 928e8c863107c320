-- Lets a user's list expire, unless somebody is admitted or the user is blocked. KEYS: the list, and who is gone from it (one
-- hash slot). ARGV: seconds.
local list = redis.call('HGETALL', KEYS[1])
for index = 1, #list, 2 do
  local name = list[index]
  local blocks = name == 'block' and string.sub(list[index + 1], -2) == 'on'
  if blocks or name ~= 'block' and name ~= 'first' and name ~= 'floor' then
    return 0
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 0
