-- Dates the token of a login, and revokes the tokens that the user was issued in the app before.
-- Needs revocations.lua. KEYS: the user's revocations, the user's list, the user's clients (one
-- hash slot). ARGV: appid, second of the login, latest second, the token's id, its exp, and the
-- longest life of tokens that the caller knows, for which verifiers need the revocation. Answers
-- the token's date, and the tokens with this same date, each with its exp, except the last one.
-- Their revocations have keys of their own, so the caller must revoke each of them. If the date is
-- after the latest second, nothing is revoked. If the user is blocked, nothing is done and the
-- answer is false.
local app = ARGV[1]
local iat = date(app, tonumber(ARGV[2]), tonumber(ARGV[3]))
if not iat then
  return false
elseif iat > tonumber(ARGV[3]) then
  return {iat, {}}
end
revoke_app(app, iat - 1)
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
