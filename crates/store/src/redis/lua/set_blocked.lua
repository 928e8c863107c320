-- Blocks a user's list, or lifts the block. KEYS: the user's list. ARGV: 'on' or 'off'.
-- Answers the number of this change, which orders it before later ones where it is noted beside the user's people. It
-- is not below the second, because a list that was lost may have had later changes than the one that is there now.
local number = tonumber(string.match(redis.call('HGET', KEYS[1], 'block') or '0', '^%d+')) + 1
number = math.max(number, tonumber(redis.call('TIME')[1]))
redis.call('HSET', KEYS[1], 'block', string.format('%.0f', number) .. ' ' .. ARGV[1])
redis.call('PERSIST', KEYS[1])
return number
