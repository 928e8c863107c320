-- Blocks a user's list, or lifts the block. KEYS: the user's list. ARGV: 'on' or 'off'.
-- Answers the number of this change, which orders it before later ones where it is noted beside the user's people.
local number, state = string.match(redis.call('HGET', KEYS[1], 'block') or '0 off', '^(%d+) (%a+)$')
if state ~= ARGV[1] then
  number = tostring(tonumber(number) + 1)
end
-- Always a write, so that a repetition also waits until a replica has it.
redis.call('HSET', KEYS[1], 'block', number .. ' ' .. ARGV[1])
redis.call('PERSIST', KEYS[1])
return tonumber(number)
