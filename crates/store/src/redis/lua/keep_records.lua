-- Notes until when the record of a user's ends is needed that has no entry of the stream any more, or when the notes of
-- the user's clients are to be looked at. KEYS: the users, by that second. ARGV: the user; the second, or '' if the
-- record is gone; the second that was noted before; and for a note of a client the present second: an earlier date
-- stays then that is still to come. One that has come is replaced, because whoever looks by it now strikes it out.
local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1')
if ARGV[4] and held > tonumber(ARGV[4]) and held <= tonumber(ARGV[2]) then
  return 0
elseif ARGV[2] ~= '' then
  return redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
elseif held == tonumber(ARGV[3]) then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
