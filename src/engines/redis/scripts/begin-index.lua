-- Raises the line to a view of the indexes, and notes that a build begins (core/shared-store.ts). Refused if a server with a
-- newer view has written to the line. KEYS: h. ARGV: the index, the generation, the view, the run id of this server.
local head = redis.call('HMGET', KEYS[1], 'view', 'gaps')
if head[1] and tonumber(head[1]) > tonumber(ARGV[3]) then return redis.error_reply('VIEW ' .. head[1]) end
-- Another owner leaves a gap behind, also where this server is the owner again by then.
local begun = ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. string.sub(head[2] or '', -16)
redis.call('HSET', KEYS[1], 'view', ARGV[3], 'begun:' .. ARGV[1], begun)
return 1
