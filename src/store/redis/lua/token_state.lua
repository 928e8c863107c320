-- Whose a token is. KEYS: the user's list, the user's ends, the token's end (one hash slot). ARGV: issued at, appid.
-- Answers {'ended', told}, {'ended with user', told} or {'people', person, generation, ...}, where told is '1' if the end is in
-- the stream, and '' if not yet.
local app, issued_at = ARGV[2], tonumber(ARGV[1])
local ends = redis.call('HMGET', KEYS[2], 'before', 'untold:before', 'app:' .. app, 'untold:app:' .. app)
if ends[1] and issued_at <= tonumber(ends[1]) then
  return {'ended with user', ends[2] and '' or '1'}
end
local own = redis.call('GET', KEYS[3])
-- In the very second of an unbinding, the generation of the binding tells older tokens from newer ones.
local with_app = ends[3] and issued_at < tonumber(ends[3])
if own or with_app then
  return {'ended', (own == 'told' or with_app and not ends[4]) and '1' or ''}
end
local answer = {'people'}
local list = redis.call('HGETALL', KEYS[1])
for index = 1, #list, 2 do
  local person = list[index]
  local generation, sign = string.match(list[index + 1], '^(%d+)(.)$')
  if sign == '+' and string.sub(person, 1, #app + 1) == app .. ':' then
    table.insert(answer, person)
    table.insert(answer, generation)
  end
end
return answer
