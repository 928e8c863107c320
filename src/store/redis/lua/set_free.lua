-- Ends a leaving. KEYS: binding. ARGV: attempt, generation. Needs binding_state.lua.
local now = binding_state(ARGV[1])
if now[1] == 'leaving' and now[2] == ARGV[2] then
  redis.call('HDEL', KEYS[1], 'leaving_user', 'leaving_since')
  redis.call('HSET', KEYS[1], 'dissolved', '1')
  return told(binding_state(ARGV[1]))
end
return told(now)
