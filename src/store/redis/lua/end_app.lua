-- Ends a user's tokens of one app. In front of the scripts that do so. `first` is the first second that is not ended, and
-- `before` the last one that verifiers refuse.
local function end_app(ends, app, first, before)
  local held = tonumber(redis.call('HGET', ends, 'app:' .. app) or '-1')
  local untold = tonumber(redis.call('HGET', ends, 'untold:app:' .. app) or '-1')
  redis.call('HSET', ends, 'app:' .. app, math.max(held, first), 'untold:app:' .. app, math.max(untold, before))
end
