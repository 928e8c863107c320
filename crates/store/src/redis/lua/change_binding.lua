-- Takes a person one step further in the binding protocol, if the person still stands where the step begins.
-- KEYS: binding, session, cell of logins, users left (one hash slot). ARGV: step, generation, and what the step needs.
-- Needs session.lua.
--   'intend': free -> intended. User, made, by unionid.
--   'bind': intended -> bound. The fields of the binding, each before its value: bound_at (ms), new_for (the attempt, if the user
--     is new), unionid_others (the unionid that is about to be linked), unconfirmed (if replicas may be asked to confirm: a
--     login that finds this mark waits for them too).
--   'drop': intended -> free, without session keys.
--   'leave': bound -> leaving, without session keys. User, the second up to which clocks of Redis may have dated tokens ('' for the
--     present one).
--   'free': leaving -> free, dissolved.
--   'dissolve': free -> free, dissolved. An import has read so elsewhere.
-- Answers the fields of the binding after that, each before its value.

-- Notes that the person stays on a user's list, among those who are gone, with the unionids that may be linked to the user.
local function note_left(user)
  local known = redis.call('HGET', KEYS[4], user) or ''
  local seen = redis.call('HMGET', KEYS[1], 'unionid', 'unionid_others')
  for unionid in string.gmatch((seen[1] or '') .. ' ' .. (seen[2] or ''), '%S+') do
    if not string.find(known .. ' ', ' ' .. unionid .. ' ', 1, true) then
      known = known .. ' ' .. unionid
    end
  end
  redis.call('HSET', KEYS[4], user, known)
end

local step, generation = ARGV[1], ARGV[2]
local held = redis.call('HMGET', KEYS[1], 'generation', 'user_id', 'intent_user', 'leaving_user')
local user, intended, leaving = held[2], held[3], held[4]
if (held[1] or '0') ~= generation then
  return redis.call('HGETALL', KEYS[1])
end
if user then
  if step == 'leave' and user == ARGV[3] then
    drop_keys()
    note_left(user)
    local since = math.max(tonumber(redis.call('TIME')[1]), tonumber(ARGV[4]) or 0)
    redis.call('HSET', KEYS[1], 'leaving_user', user, 'leaving_since', since)
    redis.call('HDEL', KEYS[1], 'user_id', 'bound_at', 'unionid', 'unionid_others', 'unionid_conflict', 'new_for',
      'last_login', 'dropped', 'block_of', 'block', 'unconfirmed')
  end
elseif intended then
  if step == 'bind' then
    redis.call('HSET', KEYS[1], 'user_id', intended, unpack(ARGV, 3))
    if redis.call('HEXISTS', KEYS[1], 'new_for') == 0 then
      -- Ends may name the tokens of a user who was there before. None of them is still to be made, so the first login that
      -- looks for them finds them (note_not_ended.lua).
      redis.call('HSET', KEYS[1], 'dropped', 0)
    end
    redis.call('HDEL', KEYS[1], 'dissolved', 'intent_user', 'intent_made', 'intent_by_unionid')
  elseif step == 'drop' then
    drop_keys()
    note_left(intended)
    redis.call('HDEL', KEYS[1], 'block_of', 'block', 'intent_user', 'intent_made', 'intent_by_unionid')
  end
elseif leaving then
  if step == 'free' then
    redis.call('HDEL', KEYS[1], 'leaving_user', 'leaving_since')
    redis.call('HSET', KEYS[1], 'dissolved', '1')
  end
elseif step == 'intend' then
  -- The number that is left of a person who was erased expires.
  redis.call('PERSIST', KEYS[1])
  intend(generation, ARGV[3], ARGV[4], ARGV[5])
elseif step == 'dissolve' then
  redis.call('PERSIST', KEYS[1])
  redis.call('HSET', KEYS[1], 'dissolved', '1')
end
return redis.call('HGETALL', KEYS[1])
