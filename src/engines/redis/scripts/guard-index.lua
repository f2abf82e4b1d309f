-- The beginning of scan.lua for entries of an index: refuses where a server with a newer view of the indexes has written to the
-- line, and where the line does not have all entries. KEYS: o i h. ARGV: those of scan.lua, the index, the generation, the view.
local head = redis.call('HMGET', KEYS[3], 'view', 'whole:' .. ARGV[5])
if head[1] and tonumber(head[1]) > tonumber(ARGV[7]) then return redis.error_reply('VIEW ' .. head[1]) end
if head[2] ~= ARGV[6] then return redis.error_reply('PARTIAL entries of the index may be missing') end
