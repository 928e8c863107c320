-- Forgets the session keys of a person. KEYS: session.
return redis.call('DEL', KEYS[1])
