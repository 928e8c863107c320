-- Puts the end of a key into the stream, once. Needs publish_end.lua behind it.
-- KEYS: as publish_end.lua, and a note that the key's end is in the stream. ARGV: as publish_end.lua, and seconds for which the
-- note is kept. Answers 0 if the end was there.
if not redis.call('SET', KEYS[3], '', 'NX', 'EX', ARGV[4]) then
  return 0
end
