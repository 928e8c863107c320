-- Performs a step of the binding protocol, if the person is in the state in which the step begins.
-- KEYS: binding, session, login counter, users left (one hash slot). ARGV: step, generation, and
-- the step's arguments. Needs session.lua.
--   'intend': free -> intended. Arguments: user, made, by unionid. Does nothing if the person's
--     session has another owner, unless by unionid.
--   'bind': intended -> bound. Arguments: user; fields of the binding, each before its value: 'b',
--     and optionally 'f', 'o' and 'w'.
--   'drop': intended -> free, without session keys. Argument: user.
--   'leave': bound -> leaving, without session keys. Arguments: user, the present second. The
--     person's tokens may be dated up to this second, or up to the last exchange if the clock has
--     stepped back since.
--   'free': leaving -> free, unbound. Argument: user.
--   'dissolve': free -> free, unbound. An import has read elsewhere that the person has unbound.
-- Answers the fields of the binding after the step, each before its value.

-- Notes a user whose list still names the person among those who have left, with the unionids that
-- may be linked to the user.
local function note_left(user)
  local seen = redis.call('HMGET', KEYS[1], 'n', 'o')
  local all = unionids((redis.call('HGET', KEYS[4], user) or '') .. (seen[2] or ''))
  table.insert(all, seen[1] or nil)
  redis.call('HSET', KEYS[4], user, list_of(all, ''))
end

local step, generation = ARGV[1], ARGV[2]
local held = redis.call('HMGET', KEYS[1], 'g', 'u', 'i', 'q')
local user, intended, leaving = held[2], held[3], held[4]
if (held[1] or '0') ~= generation then
  return redis.call('HGETALL', KEYS[1])
end
if user then
  if step == 'leave' and user == ARGV[3] then
    drop_keys()
    note_left(user)
    local since = math.max(tonumber(ARGV[4]), tonumber(redis.call('HGET', KEYS[1], 'l') or '0'))
    redis.call('HSET', KEYS[1], 'q', user, 't', since)
    redis.call('HDEL', KEYS[1], 'u', 'b', 'n', 'o', 'c', 'f', 'l', 'd', 'k', 's', 'w')
  end
elseif intended then
  if step == 'bind' and intended == ARGV[3] then
    redis.call('HSET', KEYS[1], 'u', intended, unpack(ARGV, 4))
    if redis.call('HEXISTS', KEYS[1], 'f') == 0 then
      -- The user existed before, so revocations may cover the tokens of the next login. All of them
      -- have been made already, so the first login that looks them up finds them
      -- (note_not_revoked.lua).
      redis.call('HSET', KEYS[1], 'd', 0)
    end
    redis.call('HDEL', KEYS[1], 'v', 'i', 'm', 'a', 'r')
  elseif step == 'drop' and intended == ARGV[3] then
    drop_keys(true)
    note_left(intended)
    redis.call('HDEL', KEYS[1], 'k', 's', 'i', 'm', 'a')
  end
elseif leaving then
  if step == 'free' and leaving == ARGV[3] then
    redis.call('HSET', KEYS[1], 'v', '1')
    redis.call('HDEL', KEYS[1], 'q', 't')
  end
elseif step == 'intend' then
  session()
  if owner == '' or owner == 'u' .. ARGV[3] or ARGV[5] == '1' then
    -- The generation that is left of an erased person has an expiry.
    redis.call('PERSIST', KEYS[1])
    intend(generation, ARGV[3], ARGV[4], ARGV[5])
  end
elseif step == 'dissolve' then
  redis.call('PERSIST', KEYS[1])
  redis.call('HSET', KEYS[1], 'v', '1')
end
return redis.call('HGETALL', KEYS[1])
