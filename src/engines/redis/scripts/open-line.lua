-- Prepares a line for a server that starts. Each key gets an element that no other command touches, so that all exist at
-- all times: while a slot moves, a missing key could not be told from one that has moved. Deletes what servers left that
-- have ended long ago. KEYS: h i v o l g x s. ARGV: how long results of groups are kept, in milliseconds.
local call = redis.call
local time = call('TIME')
local nowMs = tonumber(time[1]) * 1000
call('HSETNX', KEYS[1], 'rev', '0')
for _, at in ipairs({ 2, 3, 8 }) do call('HSETNX', KEYS[at], '', '') end
for _, at in ipairs({ 4, 5, 6 }) do call('ZADD', KEYS[at], '0', '') end
call('ZADD', KEYS[7], '-1', '')
local fields = call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  if string.sub(fields[at], 1, 1) == 'n' and cmsgpack.unpack(fields[at + 1])[2] < nowMs - tonumber(ARGV[1]) then
    call('HDEL', KEYS[1], fields[at])
  end
end
return call('HMGET', KEYS[1], 'rev', 'clock')
