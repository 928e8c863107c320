-- Notes beside a person that the person's user is blocked or not, unless a later change is noted already. Who is blocked has no
-- session keys. KEYS: binding, session, cell of logins (one hash slot). ARGV: user, number of the change, 'on' or 'off'.
-- Needs limit.lua and session.lua.
local held = redis.call('HMGET', KEYS[1], 'user_id', 'intent_user', 'block_of', 'block')
if held[1] ~= ARGV[1] and held[2] ~= ARGV[1] then
  return 0
end
local number = held[3] == ARGV[1] and tonumber(string.match(held[4], '^%d+')) or 0
if number <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'block_of', ARGV[1], 'block', ARGV[2] .. ' ' .. ARGV[3])
  if ARGV[3] == 'on' then
    drop_keys()
  end
end
return 0
