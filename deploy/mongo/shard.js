// Spreads Duet's collections over the shards of a cluster. Run it once, against mongos, after a first node has made the
// indexes; running it again changes nothing:
//   mongosh "mongodb://mongos:27017/duet" deploy/mongo/shard.js

// A mongos of before 7.1 keeps to itself that a write has not reached a majority when another one of the same command was
// refused: a message could be acknowledged that is lost with its shard's primary.
if (Number(db.version().split('.')[0]) < 8) throw new Error(`MongoDB ${db.version()}: shards need 8.0 or newer`);

const name = db.getName();
sh.enableSharding(name);

// Ranged, not hashed: a conversation id is a hash already, and only a shard key that begins the unique indexes
// (conversation, seq) and (conversation, sender, tempId) lets each shard keep them unique. A conversation lives on one
// shard, so sending and reading a page ask one shard.
sh.shardCollection(`${name}.messages`, { conversation: 1 });

/** The index first: where there are documents already, MongoDB does not make it by itself. */
function spread(collection, field) {
  db.getCollection(collection).createIndex({ [field]: 'hashed' });
  sh.shardCollection(`${name}.${collection}`, { [field]: 'hashed' });
}

// Keys of conversations, found by their conversation, which is `_id` here.
spread('dataKeys', '_id');

// What belongs to a user lies together: a list of conversations asks one shard.
for (const collection of ['inbox', 'watermarks', 'sessions', 'sessionEnds', 'privacy']) spread(collection, 'user');

// `users` stays whole: its names and emails are unique over all of it.

// The balancer moves data when shards differ by some hundred megabytes; conversation ids are spread evenly.
print(`${name} is sharded. sh.status() shows it.`);
