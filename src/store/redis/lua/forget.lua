-- Forgets the session keys of a person, unless a limit is reached. KEYS: binding, session, cell (one hash slot).
-- ARGV: interval, period (microseconds); neither where nothing is counted. Needs meter.lua.
-- Answers 0, or the microseconds until it would be counted. If the person is bound, the second of the last exchange stays with
-- the binding.
if ARGV[1] then
  local wait, value, life = counted(redis.call('GET', KEYS[3]), tonumber(ARGV[1]), tonumber(ARGV[2]))
  if wait > 0 then
    return wait
  end
  redis.call('SET', KEYS[3], value, 'PX', life)
end
local order = redis.call('HGET', KEYS[2], 'current_order')
if order and redis.call('HEXISTS', KEYS[1], 'user_id') == 1 then
  local second = math.floor(tonumber(string.sub(order, 1, 16), 16) / 1000000)
  redis.call('HSET', KEYS[1], 'last_login', string.format('%.0f', second))
end
redis.call('DEL', KEYS[2])
return 0
