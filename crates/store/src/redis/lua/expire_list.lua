-- Lets a user's list expire that admits nobody any more, unless the user is blocked. KEYS: the list, and who is gone from it (one
-- hash slot). ARGV: seconds.
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local name, value = all[index], all[index + 1]
  if name == 'block' and string.sub(value, -2) == 'on' or name ~= 'block' and name ~= 'floor' and name ~= 'first' then
    return 0
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 0
