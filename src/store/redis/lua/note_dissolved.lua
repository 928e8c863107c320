-- Notes that a person has dissolved their last binding. KEYS: binding. ARGV: attempt. Needs binding_state.lua.
-- Answers 1 if that is news of somebody who is free.
if binding_state(ARGV[1])[1] ~= 'free' then
  return 0
end
redis.call('PERSIST', KEYS[1])
return redis.call('HSET', KEYS[1], 'dissolved', '1')
