-- Sets a key to a new value without expiry, or deletes it, unless it has a value that the caller
-- does not expect. KEYS: key. ARGV: the expected value, the new value ('' to delete the key).
-- Answers the previous value, or false.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[2] then
  return held
end
if held and held == ARGV[2] then
  -- PERSIST instead of SET, because Redis may keep an argument of a script in a longer buffer than
  -- it needs.
  redis.call('PERSIST', KEYS[1])
elseif ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2])
elseif held then
  redis.call('DEL', KEYS[1])
end
return held
