-- Ends a user's tokens of one app up to a second. In front of the scripts that do so, whose KEYS[1] is the user's ends.
-- The field `app:` has the first second that is not ended, and `untold:app:` the last one that verifiers have yet to be told of.
local function end_app(app, second)
  local held = tonumber(redis.call('HGET', KEYS[1], 'app:' .. app) or '-1')
  redis.call('HSET', KEYS[1], 'app:' .. app, math.max(held, second + 1))
end

local function end_app_and_tell(app, second)
  end_app(app, second)
  local untold = tonumber(redis.call('HGET', KEYS[1], 'untold:app:' .. app) or '-1')
  redis.call('HSET', KEYS[1], 'untold:app:' .. app, math.max(untold, second))
end
