-- Ends a user's tokens of one app. In front of the scripts that do so, whose KEYS[1] is the user's ends.
-- `first` is the first second that is not ended, and `before` the last one that verifiers refuse.
local function end_app(app, first, before)
  local held = tonumber(redis.call('HGET', KEYS[1], 'app:' .. app) or '-1')
  local untold = tonumber(redis.call('HGET', KEYS[1], 'untold:app:' .. app) or '-1')
  redis.call('HSET', KEYS[1], 'app:' .. app, math.max(held, first), 'untold:app:' .. app, math.max(untold, before))
end
