-- Notes on a binding that a unionid is about to be linked to its user, and later that it is linked.
-- So an erasure of the person finds the link, even if a request stops in between. KEYS: binding,
-- session, login counter (one hash slot). ARGV: user, unionid, and once it is linked the user in
-- conflict ('' for none). Needs session.lua. Answers false if the person is no longer bound to the
-- user, 1 if the conflict is new, otherwise 0. The field 'o' has the other unionids: the one that
-- is about to be linked, and those that the person had before.
local held = redis.call('HMGET', KEYS[1], 'u', 'n', 'o', 'c')
if held[1] ~= ARGV[1] then
  return false
end
local current = ARGV[3] and ARGV[2] or held[2]
local all = unionids(held[3] or '')
table.insert(all, held[2] or nil)
table.insert(all, ARGV[2])
local others = list_of(all, current or '')
if others ~= '' then
  redis.call('HSET', KEYS[1], 'o', others)
elseif held[3] then
  redis.call('HDEL', KEYS[1], 'o')
end
if not ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], 'n', ARGV[2])
if ARGV[3] == '' then
  if held[4] then
    redis.call('HDEL', KEYS[1], 'c')
  end
  return 0
end
redis.call('HSET', KEYS[1], 'c', ARGV[3])
return held[4] == ARGV[3] and 0 or 1
