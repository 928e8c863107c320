-- The generic cell rate algorithm of `limits.rs`, in microseconds. In front of the scripts that count.
-- For an event in a cell that holds `held`: answers 0, the cell's new value and its milliseconds; or the microseconds until
-- the event would be counted.
local function counted(held, interval, period)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local next = math.max(tonumber(held or '0'), now) + interval
  if next - now > period then
    return next - now - period
  end
  return 0, string.format('%.0f', next), math.ceil((next - now) / 1000)
end
