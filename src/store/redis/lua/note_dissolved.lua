-- Notes that a person has dissolved their last binding. KEYS: binding. ARGV: claim. Needs binding_state.lua.
-- Answers 1 if that is news of somebody who is free.
if binding_state(KEYS[1], ARGV[1])[1] ~= 'free' then
  return 0
end
return redis.call('HSET', KEYS[1], 'dissolved', '1')
