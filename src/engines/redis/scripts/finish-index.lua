-- Notes that the line has all entries of an index, unless a failover since its build began may have lost some: returns 1, or 0.
-- Refused if a server with a newer view has written to the line. KEYS: h. ARGV: as begin-index.lua.
local head = redis.call('HMGET', KEYS[1], 'view', 'gaps', 'begun:' .. ARGV[1])
if head[1] and tonumber(head[1]) > tonumber(ARGV[3]) then return redis.error_reply('VIEW ' .. head[1]) end
local begun = ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. string.sub(head[2] or '', -16)
if head[3] ~= begun then return 0 end
redis.call('HSET', KEYS[1], 'whole:' .. ARGV[1], ARGV[2])
return 1
