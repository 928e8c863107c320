-- Whose a token is. KEYS: the user's list, the user's ends (one hash slot). ARGV: token id, issued at, appid.
-- Answers {'ended'}, {'ended with user'} or {'people', person, generation, ...}.
local ended = redis.call('HMGET', KEYS[2], 'before', ARGV[1], 'app:' .. ARGV[3])
local issued_at = tonumber(ARGV[2])
if ended[1] and issued_at <= tonumber(ended[1]) then
  return {'ended with user'}
end
-- In the very second of an unbinding, the generation of the binding tells older tokens from newer ones.
if ended[2] or (ended[3] and issued_at < tonumber(ended[3])) then
  return {'ended'}
end
local answer = {'people'}
local list = redis.call('HGETALL', KEYS[1])
for index = 1, #list, 2 do
  local person = list[index]
  local generation, sign = string.match(list[index + 1], '^(%d+)(.)$')
  if sign == '+' and string.sub(person, 1, #ARGV[3] + 1) == ARGV[3] .. ':' then
    table.insert(answer, person)
    table.insert(answer, generation)
  end
end
return answer
