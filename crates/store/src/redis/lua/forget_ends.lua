-- Forgets the ends of a user that no token can be left for. KEYS: the user's ends. ARGV: the first second that is still needed. An
-- end that is not in the stream yet is needed.
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local name, second = all[index], tonumber(string.match(all[index + 1], '^%d+') or '-1')
  if second < tonumber(ARGV[1]) and string.sub(name, 1, 7) ~= 'untold:' and redis.call('HEXISTS', KEYS[1], 'untold:' .. name) == 0 then
    redis.call('HDEL', KEYS[1], name)
  end
end
return 0
