-- Deletes the note of a token that has been revoked. KEYS: the users of a client, or the clients of
-- a user. ARGV: member, the exp that was noted. The note of a later token stays.
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted and tonumber(noted) <= tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
