-- Returns the latest change of each member after a revision, sorted by revision, after: the head, the newest forgotten
-- tombstone, the gaps, how far the page goes, and whether it goes to the end. KEYS: h i l g. ARGV: the revision, the
-- limit, the beginning of the fields in scope ('' for all), how many changes may be examined, and a field for the latest
-- change of that alone, or ''.
local call = redis.call
local after, limit, prefix, maxExamined = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local head = call('HMGET', KEYS[1], 'rev', 'forgotten', 'gaps')
local rev = tonumber(head[1] or 0)
local result = { rev, tonumber(head[2] or 0), head[3] or '', rev, 1 }
if ARGV[5] ~= '' then
  result[6], result[7] = ARGV[5], call('HGET', KEYS[2], ARGV[5])
  return result
end

-- Returns changes after the revision, a field and its score in turn, and the score up to which these are all; nil for
-- the end. Of a collection the scores of its own fields alone are asked for: most of the work would be to write the others.
local function changesIn(key)
  if prefix == '' then
    local found = call('ZRANGEBYSCORE', key, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit + 1)
    return found, #found == 2 * (limit + 1) and tonumber(found[#found]) or nil
  end
  local fields = call('ZRANGEBYSCORE', key, '(' .. after, '+inf', 'LIMIT', 0, maxExamined)
  local own, found = {}, {}
  for at = 1, #fields do
    if string.sub(fields[at], 1, #prefix) == prefix then own[#own + 1] = fields[at] end
  end
  for from = 1, #own, 4000 do
    local to = math.min(from + 3999, #own)
    local scores = call('ZMSCORE', key, unpack(own, from, to))
    for n = 1, #scores do
      found[#found + 1] = own[from + n - 1]
      found[#found + 1] = scores[n]
    end
  end
  return found, #fields == maxExamined and tonumber(call('ZSCORE', key, fields[maxExamined])) or nil
end

local lists, at, horizon = {}, { 1, 1 }, nil
for n = 1, 2 do
  local last
  lists[n], last = changesIn(KEYS[2 + n])
  if last and (not horizon or last < horizon) then horizon = last end
end
local fields, through, isCut = {}, 0, false
while true do
  local first, second = tonumber(lists[1][at[1] + 1]), tonumber(lists[2][at[2] + 1])
  local n = (not second or (first and first < second)) and 1 or 2
  local score = n == 1 and first or second
  if not score or (horizon and score > horizon) then break end
  if #fields == limit then
    isCut = true
    break
  end
  fields[#fields + 1] = lists[n][at[n]]
  through = score
  at[n] = at[n] + 2
end
if isCut then result[4], result[5] = through, 0
elseif horizon then result[4], result[5] = horizon, 0 end
for from = 1, #fields, 4000 do
  local to = math.min(from + 3999, #fields)
  local records = call('HMGET', KEYS[2], unpack(fields, from, to))
  for n = 1, #records do
    result[#result + 1] = fields[from + n - 1]
    result[#result + 1] = records[n]
  end
end
return result
