-- The fast path of record_login.lua, which runs before it. It handles a person with a session who
-- logs in within the limit, which is nearly every login, and the first login of a person with a
-- computed user id. Every other case falls through to record_login.lua, which decides everything
-- anew; so does a login with an owner if the session has another owner or none, as the session of a
-- bound person.
local kept, line, owner = redis.call('GET', KEYS[2]), ARGV[1], ARGV[4]
if kept and not ARGV[5] and (owner == '' or string.sub(kept, -#owner) == owner) then
  local ends, own_high, own_low = #kept - #owner, struct.unpack('>xxI4I3', line)
  -- When this exchange began. That is a little before now, so a login that is within the limit at
  -- that time is also within it now.
  local quarter = (own_high * 1048576 + own_low / 16) / 250000 - 6311347200
  local length, high, low, till = struct.unpack('>I2I4I3I4', kept)
  local first, last, rest, earlier_till = 1, 2 + length, ends - 2 - length, 0
  if rest >= 13 then
    length, earlier_till = struct.unpack('>I2xxxxxxxI4', kept, last + 1)
    rest = rest - 2 - length
  end
  if #line > 27 and string.sub(kept, 17, 28) == string.sub(line, 17, 28) then
    -- WeChat has given the same key again: the previous line is dropped, and so is the other key if
    -- its ten minutes have passed.
    first, last = last + 1, own_high - high < 572 and ends or 0
    earlier_till = math.max(earlier_till, till)
  end
  -- A login that still counts must not be dropped with its line.
  if rest == 0 and (high < own_high or high == own_high and low < own_low) and earlier_till <= quarter
      and (till <= quarter or string.sub(ARGV[3], 1, 2) ~= '1 ') then
    redis.call('SET', KEYS[2], line .. string.sub(kept, first, last) .. owner, 'EX', ARGV[2])
    return '='
  end
elseif not kept and owner ~= '' and not ARGV[5]
    and redis.call('HLEN', KEYS[1]) == 0 and not redis.call('GET', KEYS[3]) then
  redis.call('SET', KEYS[2], line .. owner, 'EX', ARGV[2])
  return '+'
end
