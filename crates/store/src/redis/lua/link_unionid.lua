-- Notes on a binding that a unionid is about to be linked to its user, and then that it is linked. So the erasure of the person
-- finds the link, wherever a request stops. KEYS: binding. ARGV: user, unionid, and once it is linked the user in conflict (''
-- for none). Answers -1 if the person is not bound to the user any more, 1 if the conflict is news, otherwise 0.
-- The other unionids: the one that is about to be linked, and those from before the person's unionid changed.
local held = redis.call('HMGET', KEYS[1], 'user_id', 'unionid', 'unionid_others', 'unionid_conflict')
if held[1] ~= ARGV[1] then
  return -1
end
local current = ARGV[3] and ARGV[2] or held[2]
local others = ''
for unionid in string.gmatch((held[2] or '') .. ' ' .. (held[3] or '') .. ' ' .. ARGV[2], '%S+') do
  if unionid ~= current and not string.find(others .. ' ', ' ' .. unionid .. ' ', 1, true) then
    others = others .. ' ' .. unionid
  end
end
if others ~= '' then
  redis.call('HSET', KEYS[1], 'unionid_others', others)
elseif held[3] then
  redis.call('HDEL', KEYS[1], 'unionid_others')
end
if not ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], 'unionid', ARGV[2])
if ARGV[3] == '' then
  if held[4] then
    redis.call('HDEL', KEYS[1], 'unionid_conflict')
  end
  return 0
end
redis.call('HSET', KEYS[1], 'unionid_conflict', ARGV[3])
return held[4] == ARGV[3] and 0 or 1
