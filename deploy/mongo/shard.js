// Spreads Duet's collections over the shards of a cluster. Run it once, against mongos, after a first node has made the
// indexes; running it again changes nothing:
//   mongosh "mongodb://mongos:27017/duet" deploy/mongo/shard.js
const name = db.getName();
sh.enableSharding(name);

// Ranged, not hashed: a conversation id is a hash already, and only a shard key that begins the unique indexes
// (conversation, seq) and (conversation, sender, tempId) lets each shard keep them unique. A conversation lives on one
// shard, so sending and reading a page ask one shard.
sh.shardCollection(`${name}.messages`, { conversation: 1 });

// Keys of conversations, found by their conversation, which is `_id` here.
sh.shardCollection(`${name}.dataKeys`, { _id: 'hashed' });

// What belongs to a user lies together: a list of conversations asks one shard.
sh.shardCollection(`${name}.inbox`, { user: 'hashed' });
sh.shardCollection(`${name}.watermarks`, { user: 'hashed' });
sh.shardCollection(`${name}.sessions`, { user: 'hashed' });
sh.shardCollection(`${name}.sessionEnds`, { user: 'hashed' });

// `users` stays whole: its names and emails are unique over all of it.

// Conversation ids begin with an even spread of hex digits: split there at once instead of waiting for the balancer.
const digits = '0123456789abcdef';
for (const first of digits) {
  for (const second of digits) {
    try {
      sh.splitAt(`${name}.messages`, { conversation: first + second });
    } catch (error) {
      // Split there before.
      if (!/already|not a valid split|boundary/i.test(error.message)) throw error;
    }
  }
}
print(`${name} is sharded. sh.status() shows it.`);
