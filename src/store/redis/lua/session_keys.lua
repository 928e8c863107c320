-- The session keys of a person. KEYS: session. ARGV: milliseconds for which a replaced key is kept.
-- Answers {current} or {current, previous} or {}.
local kept = redis.call('HMGET', KEYS[1], 'current_order', 'current_key', 'previous_key')
if not kept[1] then
  return {}
end
local now = redis.call('TIME')
local replaced = tonumber(string.sub(kept[1], 1, 16), 16) / 1000
if kept[3] and now[1] * 1000 + now[2] / 1000 - replaced < tonumber(ARGV[1]) then
  return {kept[2], kept[3]}
end
return {kept[2]}
