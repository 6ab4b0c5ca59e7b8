-- Puts a session back that the store has lost, or has not heard of for a while.
-- KEYS  1 session  2 lease  3 closed
-- ARGV  1 fence  2 lease, ms  3 expiry, ms  4... fields and values, without the fence
-- Gives 1, -1 when another replica runs it now, -2 when it is closed.
if redis.call('EXISTS', KEYS[3]) == 1 then return -2 end
local held = redis.call('HGET', KEYS[1], 'fence')
if held and held ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'running', '1', unpack(ARGV, 4))
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
