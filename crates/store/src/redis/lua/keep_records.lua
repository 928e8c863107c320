-- Notes until when the record of a user's revocations is needed although its entries in the stream
-- were purged, or when the notes of the user's clients are to be purged. KEYS: the users, by that
-- second. ARGV: the user; the second, or '' if the record is gone; the second that was noted
-- before; and for a note of a client the present second. In that case an earlier second that is
-- still in the future stays. A second that has passed is replaced, because a purge that is in
-- progress would delete it.
local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1')
if ARGV[4] and held > tonumber(ARGV[4]) and held <= tonumber(ARGV[2]) then
  return 0
elseif ARGV[2] ~= '' then
  return redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
elseif held == tonumber(ARGV[3]) then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
