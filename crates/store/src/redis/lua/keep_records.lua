-- Notes until when the record of a user's ends is needed that has no entry of the stream any more. KEYS: the users, by
-- that second. ARGV: the user; the second, or '' if the record is gone; the second that was noted before.
if ARGV[2] ~= '' then
  return redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
elseif tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1') == tonumber(ARGV[3]) then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
