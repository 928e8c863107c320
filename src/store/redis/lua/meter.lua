-- The generic cell rate algorithm of `limits.rs`, in microseconds. In front of the scripts that count.
local function now_micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Counts an event and answers 0, or the microseconds until it would be counted.
local function count(key, interval, period)
  local now = now_micros()
  local next = math.max(tonumber(redis.call('GET', key) or '0'), now) + interval
  if next - now > period then
    return next - now - period
  end
  redis.call('SET', key, string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
  return 0
end
