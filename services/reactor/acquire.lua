-- Takes a session for a replica, unless another one's lease on it is running.
-- KEYS  1 session  2 lease  3 closed
-- ARGV  1 lease, ms  2 expiry, ms  3 '1' to take it all the same
-- Gives {1, fence, whether a replica left it without a word, the session's fields}, {0, ms that the lease still runs},
-- {-2} closed or {-3} not known. The fence is one more each time: a replica that lost the session finds it changed.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {redis.call('EXISTS', KEYS[3]) == 1 and -2 or -3}
end
local left = redis.call('PTTL', KEYS[2])
if left > 0 and ARGV[3] ~= '1' then return {0, left} end
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
local abandoned = redis.call('HGET', KEYS[1], 'running') == '1' and 1 or 0
redis.call('HSET', KEYS[1], 'running', '1')
redis.call('SET', KEYS[2], fence, 'PX', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, fence, abandoned, redis.call('HGETALL', KEYS[1])}
