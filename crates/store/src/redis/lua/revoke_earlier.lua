-- Dates the token of a login, and ends the tokens that the user was issued in the app before. Needs ends.lua. KEYS: the
-- user's ends, the user's list, the user's clients (one hash slot). ARGV: appid, second of the login, latest second,
-- the token, its exp, and the longest life of tokens that the caller knows: so long verifiers need the end. Answers the
-- token's second, and the tokens of this very second, each with its exp, except the last one. Their ends have keys of
-- their own, so the caller ends each of them. Nothing is done if the second is after the latest one, or if the user is
-- blocked: then the answer is false.
local app = ARGV[1]
local iat = date(app, tonumber(ARGV[2]), tonumber(ARGV[3]))
if not iat then
  return false
elseif iat > tonumber(ARGV[3]) then
  return {iat, {}}
end
end_app(app, iat - 1)
keep_record(iat + tonumber(ARGV[6]))
redis.call('PERSIST', KEYS[1])

local second, tokens = string.match(redis.call('HGET', KEYS[1], 'second:' .. app) or '', '^(%d+)(.*)$')
if tonumber(second) ~= iat then
  tokens = ''
end
local newest = ' ' .. ARGV[4] .. ' ' .. ARGV[5]
if not string.find(tokens .. ' ', newest .. ' ', 1, true) then
  tokens = tokens .. newest
  redis.call('HSET', KEYS[1], 'second:' .. app, string.format('%.0f', iat) .. tokens)
end
local earlier = {}
for id, expires in string.gmatch(tokens, '(%S+) (%S+)') do
  table.insert(earlier, {id, expires})
end
table.remove(earlier)
return {iat, earlier}
