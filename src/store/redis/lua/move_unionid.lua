-- Lets a unionid stand for another user. KEYS: union. ARGV: from, to. Answers whom it stands for now.
local user = redis.call('GET', KEYS[1])
if not user or user == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
  user = ARGV[2]
end
return user
