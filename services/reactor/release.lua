-- Lets a session rest, if it is still ours. KEYS 1 session 2 lease. ARGV 1 fence. Gives 1 if it was.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'running', '0')
redis.call('DEL', KEYS[2])
return 1
