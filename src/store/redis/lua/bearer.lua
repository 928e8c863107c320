-- The people of a token's user in its app. KEYS: the user's list, what was revoked (one hash slot).
-- ARGV: token id, issued at, "appid:". Answers {'revoked'} or {'people', person...}.
local revoked = redis.call('HMGET', KEYS[2], ARGV[1], 'before')
if revoked[1] or (revoked[2] and tonumber(ARGV[2]) <= tonumber(revoked[2])) then
  return {'revoked'}
end
local answer = {'people'}
local list = redis.call('HGETALL', KEYS[1])
for index = 1, #list, 2 do
  local person, value = list[index], list[index + 1]
  if string.sub(value, -1) == '+' and string.sub(person, 1, #ARGV[3]) == ARGV[3] then
    table.insert(answer, person)
  end
end
return answer
