-- Takes back an event that was counted. KEYS: counter. ARGV: the field of the event's part. A field
-- that counts nothing is deleted.
local events = redis.call('HGET', KEYS[1], ARGV[1])
if events and tonumber(events) <= 1 then
  redis.call('HDEL', KEYS[1], ARGV[1])
elseif events then
  redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
end
return 0
