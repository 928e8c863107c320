-- Carries a decision out. KEYS: binding.
-- ARGV: attempt, generation, 'bound' or 'dropped', new, now (ms), whether replicas may be asked to confirm ('1' or '').
-- Until they have confirmed the binding, it is marked, and a login that finds it waits for them too.
-- Needs binding_state.lua.
local now = binding_state(ARGV[1])
if now[1] ~= 'intended' or now[2] ~= ARGV[2] then
  return told(now)
end
if ARGV[3] == 'bound' then
  redis.call('HSET', KEYS[1], 'user_id', now[3], 'bound_at', ARGV[5])
  redis.call('HDEL', KEYS[1], 'dissolved')
  if ARGV[4] == '1' then
    redis.call('HSET', KEYS[1], 'new_for', ARGV[1])
  end
  if ARGV[6] == '1' then
    redis.call('HSET', KEYS[1], 'unconfirmed', '1')
  end
else
  redis.call('HDEL', KEYS[1], 'block_of', 'block')
end
redis.call('HDEL', KEYS[1], 'intent_user', 'intent_made', 'intent_by_unionid')
return told(binding_state(ARGV[1]))
