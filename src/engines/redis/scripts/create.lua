-- Creates the store unless it exists, and returns its settings. KEYS: the store's own key. ARGV: names and values.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
return redis.call('HGETALL', KEYS[1])
