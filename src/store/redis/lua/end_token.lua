-- Ends one token. KEYS: the token's end. ARGV: the millisecond up to which it is kept.
-- Answers 'untold' while the end is not in the stream yet, and then 'told'.
redis.call('SET', KEYS[1], 'untold', 'NX')
-- Always a write, so that a repetition also waits until a replica has the end.
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1]) or 'told'
