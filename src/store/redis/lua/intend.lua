-- Writes down whom a free person of a generation is to be bound to. KEYS: binding.
-- ARGV: attempt, generation, user, made, by unionid. Needs binding_state.lua.
local now = binding_state(ARGV[1])
if now[1] == 'free' and now[2] == ARGV[2] then
  intend(ARGV[3], ARGV[4], ARGV[5])
  return told(binding_state(ARGV[1]))
end
return told(now)
