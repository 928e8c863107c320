-- Ends a binding to a user and forgets the session key. KEYS: binding, session.
-- ARGV: attempt, user, generation, the greatest time of all primaries of a Cluster ('' elsewhere). Needs binding_state.lua.
local now = binding_state(ARGV[1])
if now[1] == 'bound' and now[2] == ARGV[3] and now[3] == ARGV[2] then
  redis.call('DEL', KEYS[2])
  local since = math.max(tonumber(redis.call('TIME')[1]), tonumber(ARGV[4]) or 0)
  redis.call('HSET', KEYS[1], 'leaving_user', ARGV[2], 'leaving_since', since)
  redis.call('HDEL', KEYS[1], 'user_id', 'bound_at', 'unionid', 'unionid_conflict', 'new_for', 'last_login',
    'block_of', 'block', 'unconfirmed')
  return told(binding_state(ARGV[1]))
end
return told(now)
