-- A device request: a page waits for a phone. KEYS: the request. ARGV: the step, and its arguments.
-- The request's `state` is 'open', 'claimed' (a phone is approving it), 'approved', 'denied', or
-- 'taken' (its token was fetched).
-- - 'open': digest of the device code, seconds until it expires, seconds for which its outcome is
--   kept after that, polling interval in milliseconds, and its other fields with their values.
--   Returns 1 (also if the same request exists), or 0 if another request has the key.
-- - 'find': app of the phone that views the request, or ''. Returns the request, the time when it
--   was opened, the milliseconds that are left, and the approver or ''; nothing if it neither waits
--   nor was approved.
-- - 'picture': how many pictures a request may have. Returns the count, or 0 if the request has
--   that many or does not wait. 'unpicture' reduces the count by one.
-- - 'claim': approver, number or '', milliseconds during which other approvals by the same person
--   are 'busy'. Returns 'claimed', 'busy', 'approved' (by the same person before), 'wrong', or ''.
-- - 'approve': approver, grant. Returns 1, or 0 if the request is not claimed by this approver, has
--   expired, or is taken.
-- - 'deny': the denying person, who may repeat it. Returns 1, or 0 if the request does not wait.
-- - 'poll': digest, client, app, attempt, milliseconds by which a poll may be too soon,
--   milliseconds by which the interval grows if it is, '1' to take the grant. Returns {} for an
--   unknown request, or else the state for the page; with 'approved' and 'taken' also the grant.
-- - 'release': an attempt that has given the grant to nobody. Another attempt can take the grant
--   then, and a late message of this attempt takes nothing.
local step, time = ARGV[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function keep(...)
  redis.call('HSET', KEYS[1], ...)
end

if step == 'open' then
  local digest = redis.call('HGET', KEYS[1], 'digest')
  if digest then
    return digest == ARGV[2] and 1 or 0
  end
  keep('digest', ARGV[2], 'state', 'open', 'at', time[1], 'until', now + ARGV[3] * 1000, 'interval', ARGV[5], 'next', 0, unpack(ARGV, 6))
  redis.call('EXPIRE', KEYS[1], ARGV[3] + ARGV[4])
  return 1
end

local names = {'state', 'until', 'digest', 'client', 'app', 'approver', 'right', 'looked', 'interval', 'next', 'taker', 'asker', 'claimed', 'void', 'denier'}
local held = {}
for at, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  held[names[at]] = value
end
local left = tonumber(held['until'] or '0') - now
local waits = left > 0 and (held.state == 'open' or held.state == 'claimed')

if step == 'find' then
  if not waits and (left <= 0 or held.state ~= 'approved' and held.state ~= 'taken') then
    return false
  elseif waits and held.app == ARGV[2] then
    keep('looked', '1')
  end
  local told = redis.call('HMGET', KEYS[1], 'request', 'at')
  table.insert(told, tostring(left))
  table.insert(told, not waits and held.approver or '')
  return told
elseif step == 'picture' then
  local drawn = tonumber(redis.call('HGET', KEYS[1], 'pictures') or '0')
  return waits and drawn < tonumber(ARGV[2]) and redis.call('HINCRBY', KEYS[1], 'pictures', 1) or 0
elseif step == 'unpicture' then
  return held.state and redis.call('HINCRBY', KEYS[1], 'pictures', -1) or 0
elseif step == 'claim' then
  if not waits then
    return left > 0 and (held.state == 'approved' or held.state == 'taken') and held.approver == ARGV[2] and 'approved' or ''
  elseif held.right ~= '' and held.right ~= ARGV[3] then
    keep('state', 'denied')
    return 'wrong'
  elseif held.state == 'claimed' and (held.approver ~= ARGV[2] or now < (held.claimed or 0) + ARGV[4]) then
    return held.approver == ARGV[2] and 'busy' or ''
  end
  keep('state', 'claimed', 'approver', ARGV[2], 'claimed', now)
  return 'claimed'
elseif step == 'approve' then
  if left <= 0 or held.approver ~= ARGV[2] or held.state ~= 'claimed' and held.state ~= 'approved' then
    return 0
  end
  keep('state', 'approved', 'grant', ARGV[3])
  return 1
elseif step == 'deny' then
  if waits then
    keep('state', 'denied', 'denier', ARGV[2])
  end
  return (waits or left > 0 and held.state == 'denied' and held.denier == ARGV[2]) and 1 or 0
elseif step == 'release' then
  if held.state == 'taken' and held.taker == ARGV[2] then
    keep('state', 'approved')
  end
  return held.state and redis.call('HSET', KEYS[1], 'void', ARGV[2]) or 0
end

if held.digest ~= ARGV[2] or held.client ~= ARGV[3] or held.app ~= ARGV[4] then
  return {}
elseif held.state == 'denied' then
  return {'denied'}
elseif held.state == 'taken' or left > 0 and held.state == 'approved' then
  local state = held.taker == ARGV[5] and 'approved' or held.state
  if held.state == 'approved' and ARGV[8] == '1' and held.void ~= ARGV[5] then
    keep('state', 'taken', 'taker', ARGV[5])
  end
  return {state, redis.call('HGET', KEYS[1], 'grant')}
elseif left <= 0 then
  return {'expired'}
end
-- A poll that is repeated because its answer was lost does not count as another poll.
local soon = now < tonumber(held.next) and held.asker ~= ARGV[5]
local interval = held.interval + (soon and ARGV[7] or 0)
keep('interval', interval, 'next', now + interval - ARGV[6], 'asker', ARGV[5])
return {soon and 'soon' or held.looked and 'scanned' or 'pending'}
