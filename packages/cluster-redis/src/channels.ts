import { perTurn } from '@duet/core';
import type { Redis } from 'ioredis';

/** Named channels between the nodes: what is sent on one reaches the nodes that listen to it, and no other. */
export interface Channels {
  listen(channel: string): void;
  forget(channel: string): void;
  /**
   * @param spare this node has served its own sockets already: do not send what no other node listens to. For what is
   * sent to people who are probably nowhere else; all else is sent at once, and rests on no count.
   */
  send(channel: string, message: string, spare: boolean): void;
  onMessage(listener: (channel: string, message: string) => void): void;
  /** Resolves when Redis knows every channel listened to so far. */
  fence(): Promise<void>;
}

/**
 * ARGV: for each message its channel, whether to spare it ('1'), and the message. A spared one is sent only when there is
 * a listener beside this node.
 */
const SEND = `
for i = 1, #ARGV, 3 do
  if ARGV[i + 1] == '0' or redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[i])[2] > 1 then
    redis.call('SPUBLISH', ARGV[i], ARGV[i + 2])
  end
end`;

type Send = (...args: string[]) => Promise<unknown>;

/**
 * Channels are those of Redis' sharded publish/subscribe. What one turn of the event loop sends, and what it listens to,
 * travels as one command each: after a group commit that is the rule, and a command costs more than its contents.
 */
export function createChannels(pub: Redis, sub: Redis): Channels {
  pub.defineCommand('duet_send', { lua: SEND, numberOfKeys: 0 });
  const send = (pub as unknown as { duet_send: Send }).duet_send.bind(pub);
  const listened = new Set<string>();
  /** Those that Redis is known to send to this node. Only then may a message be spared on its account. */
  const settled = new Set<string>();
  const changed = new Set<string>();

  // A hint that is lost: the store has it, and listeners hear of the gap when Redis is back.
  const publish = perTurn<string, unknown>((batch) => send(...batch).catch(() => {}));
  function settle(channels: string[]): void {
    for (const channel of channels) if (listened.has(channel)) settled.add(channel);
  }

  function applyChanges(): Promise<void> {
    const channels = [...changed];
    changed.clear();
    const wanted = channels.filter((channel) => listened.has(channel));
    const unwanted = channels.filter((channel) => !listened.has(channel));
    // They fail only when the connection is closed for good; a connection that is lost for a while makes them again.
    if (unwanted.length > 0) sub.sunsubscribe(...unwanted).catch(() => {});
    if (wanted.length === 0) return Promise.resolve();
    return sub.ssubscribe(...wanted).then(
      () => settle(wanted),
      () => {},
    );
  }
  const change = perTurn<never, void>(applyChanges);

  sub.on('close', () => settled.clear());
  sub.on('ready', () => {
    // The driver makes them again by itself, ahead of the ping.
    const again = [...listened];
    sub.ping().then(
      () => settle(again),
      () => {},
    );
  });

  return {
    listen(channel) {
      listened.add(channel);
      changed.add(channel);
      void change();
    },
    forget(channel) {
      if (!listened.delete(channel)) return;
      settled.delete(channel);
      changed.add(channel);
      void change();
    },
    send(channel, message, spare) {
      void publish(channel, spare && settled.has(channel) ? '1' : '0', message);
    },
    onMessage(listener) {
      sub.on('smessage', listener);
    },
    async fence() {
      // They share a connection, on which Redis answers in order, and publishes to whom it has answered.
      void applyChanges();
      await sub.ping();
    },
  };
}
