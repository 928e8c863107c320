-- The session keys that are kept, newest first, and the server's time. In front of the scripts that ask for them,
-- whose KEYS[2] is the session.
local function kept_keys(previous_millis)
  local kept = redis.call('HMGET', KEYS[2], 'current_order', 'current_key', 'previous_key')
  local now = redis.call('TIME')
  if not kept[1] then
    return {}, now
  end
  local replaced = tonumber(string.sub(kept[1], 1, 16), 16) / 1000
  if kept[3] and now[1] * 1000 + now[2] / 1000 - replaced < tonumber(previous_millis) then
    return {kept[2], kept[3]}, now
  end
  return {kept[2]}, now
end
