-- Whom a unionid stands for. KEYS: union. ARGV: candidate ('' for none). Answers the user or false.
local user = redis.call('GET', KEYS[1])
if not user and ARGV[1] ~= '' then
  redis.call('SET', KEYS[1], ARGV[1])
  user = ARGV[1]
end
return user
