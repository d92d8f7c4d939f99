/**
 * The schema, step by step; `PRAGMA user_version` says how many have been taken. A step that has been released is never
 * changed: add one. Each must leave a database that the version before can still read and write.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    usernameKey TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    emailKey TEXT NOT NULL UNIQUE,
    passwordHash TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    lastSeen INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- The log. Its rows lie in the order of (conversation, seq), so a page of history is one stretch of the file, and
  -- the last entry of a conversation is one seek away.
  CREATE TABLE messages (
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    receiver TEXT NOT NULL,
    content TEXT NOT NULL,
    messageType TEXT NOT NULL,
    tempId TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    sentLow INTEGER NOT NULL,
    sentHigh INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq)
  ) STRICT, WITHOUT ROWID;
  -- tempId first: ids that rise with time then share a page of the index, which is what a commit has to write.
  CREATE UNIQUE INDEX messages_tempId ON messages (tempId, conversation, sender);

  -- One user's side of one conversation: only what the log does not say. Last entry and counters are read from the
  -- log's last entry, so a message writes nothing here and nothing can drift.
  CREATE TABLE inbox (
    user TEXT NOT NULL,
    conversation TEXT NOT NULL,
    peer TEXT NOT NULL,
    readN INTEGER NOT NULL DEFAULT 0,
    readFrom INTEGER NOT NULL DEFAULT 0,
    readAt INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user, conversation)
  ) STRICT, WITHOUT ROWID;

  CREATE VIEW inbox_rows AS
    SELECT inbox.user, inbox.conversation, inbox.peer, last.seq AS lastSeq, last.createdAt AS lastAt,
      CASE WHEN inbox.peer < inbox.user THEN last.sentLow ELSE last.sentHigh END AS peerSent,
      inbox.readN, inbox.readFrom, inbox.readAt
    FROM inbox JOIN messages AS last ON last.conversation = inbox.conversation
      AND last.seq = (SELECT max(seq) FROM messages WHERE conversation = inbox.conversation);
  `,
  // Watermarks of delivery, and the place in the log of every watermark.
  `
  ALTER TABLE inbox ADD COLUMN readSeq INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE inbox ADD COLUMN deliveredN INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE inbox ADD COLUMN deliveredFrom INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE inbox ADD COLUMN deliveredSeq INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE inbox ADD COLUMN deliveredAt INTEGER NOT NULL DEFAULT 0;
  UPDATE inbox SET readSeq = (
    SELECT coalesce(max(seq), 0) FROM messages WHERE messages.conversation = inbox.conversation
      AND sender = inbox.peer AND CASE WHEN inbox.peer < inbox.user THEN sentLow ELSE sentHigh END <= inbox.readN
  ) WHERE readN > 0;

  DROP VIEW inbox_rows;
  CREATE VIEW inbox_rows AS
    SELECT inbox.*, last.seq AS lastSeq, last.createdAt AS lastAt,
      CASE WHEN inbox.peer < inbox.user THEN last.sentLow ELSE last.sentHigh END AS peerSent
    FROM inbox JOIN messages AS last ON last.conversation = inbox.conversation
      AND last.seq = (SELECT max(seq) FROM messages WHERE conversation = inbox.conversation);
  `,
  // Keys of conversations, wrapped; the index finds those of one key of the ring.
  `
  CREATE TABLE dataKeys (
    conversation TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    ringKey TEXT NOT NULL,
    wrapped TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX dataKeys_ringKey ON dataKeys (ringKey, conversation);
  `,
  // Sessions, and in the order of their end those that are over: AUTOINCREMENT gives no place twice.
  `
  CREATE TABLE sessions (
    id TEXT NOT NULL,
    user TEXT NOT NULL,
    device TEXT NOT NULL,
    createdAt INTEGER NOT NULL,
    lastUsedAt INTEGER NOT NULL,
    expiresAt INTEGER NOT NULL,
    refreshHash TEXT NOT NULL,
    previousHash TEXT NOT NULL,
    rotatedAt INTEGER NOT NULL,
    PRIMARY KEY (user, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_expiresAt ON sessions (expiresAt);

  CREATE TABLE sessionEnds (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL DEFAULT (unixepoch() * 1000)
  ) STRICT;
  `,
  // Who has blocked whom, what people hide, and messages that are for their sender alone.
  `
  CREATE TABLE blocks (
    user TEXT NOT NULL,
    peer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (user, peer)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE hides (
    user TEXT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (user, what)
  ) STRICT, WITHOUT ROWID;

  ALTER TABLE messages ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
  DROP VIEW inbox_rows;
  CREATE VIEW inbox_rows AS
    SELECT inbox.*, last.seq AS lastSeq, last.createdAt AS lastAt,
      CASE WHEN inbox.peer < inbox.user THEN last.sentLow ELSE last.sentHigh END AS peerSent
    FROM inbox JOIN messages AS last ON last.conversation = inbox.conversation
      AND last.seq = (
        SELECT max(seq) FROM messages
        WHERE conversation = inbox.conversation AND NOT (hidden AND receiver = inbox.user)
      );
  `,
  // Since when tokens of the host application are good.
  `
  ALTER TABLE users ADD COLUMN tokensAfter INTEGER NOT NULL DEFAULT 0;
  `,
  // What a receiver sees before what is hidden from him, and where that ends: nobody can make it long to read.
  `
  ALTER TABLE messages ADD COLUMN shown INTEGER;
  CREATE INDEX messages_hidden ON messages (conversation, receiver, shown, seq) WHERE hidden;
  DROP VIEW inbox_rows;
  CREATE VIEW inbox_rows AS
    SELECT inbox.*, last.seq AS lastSeq, last.createdAt AS lastAt,
      CASE WHEN inbox.peer < inbox.user THEN last.sentLow ELSE last.sentHigh END AS peerSent
    FROM inbox JOIN messages AS last ON last.conversation = inbox.conversation
      AND last.seq = (
        SELECT CASE
          WHEN NOT (newest.hidden AND newest.receiver = inbox.user) THEN newest.seq
          WHEN newest.shown IS NOT NULL THEN newest.shown
          ELSE (
            SELECT max(seq) FROM messages
            WHERE conversation = inbox.conversation AND NOT (hidden AND receiver = inbox.user)
          )
        END
        FROM messages AS newest WHERE newest.conversation = inbox.conversation ORDER BY newest.seq DESC LIMIT 1
      );
  `,
];
