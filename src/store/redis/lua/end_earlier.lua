-- Ends the tokens that a user was issued in one app before a login. Needs end_app.lua.
-- KEYS: the user's ends. ARGV: appid, iat of the login, seconds for which ends are kept, the login's token, its exp.
-- Answers the last second that is ended while that end is not in the stream yet, or '', and then the tokens of the login's very
-- second, each with its exp, except the last one. Their ends have keys of their own, so the caller ends each of them.
local app, iat = ARGV[1], tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[1], 'app:' .. app) or '-1') < iat then
  end_app(app, iat, iat - 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
local answer = {redis.call('HGET', KEYS[1], 'untold:app:' .. app) or ''}

local second, tokens = string.match(redis.call('HGET', KEYS[1], 'second:' .. app) or '', '^(%d+)(.*)$')
if second and tonumber(second) > iat then
  return answer
end
if tonumber(second) ~= iat then
  tokens = ''
end
local newest = ' ' .. ARGV[4] .. ' ' .. ARGV[5]
if not string.find(tokens .. ' ', newest .. ' ', 1, true) then
  tokens = tokens .. newest
  redis.call('HSET', KEYS[1], 'second:' .. app, ARGV[2] .. tokens)
end
for word in string.gmatch(tokens, '%S+') do
  table.insert(answer, word)
end
table.remove(answer)
table.remove(answer)
return answer
