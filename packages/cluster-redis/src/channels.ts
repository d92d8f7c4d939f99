import { perTurn } from '@duet/core';
import type { Redis } from 'ioredis';
import { heard } from './connections.ts';

/** Named channels between the nodes: what is sent on one reaches the nodes that listen to it, and no other. */
export interface Channels {
  listen(channel: string): void;
  forget(channel: string): void;
  send(channel: string, message: string): void;
  /**
   * For people of this node who are hardly ever at another one too: Redis is asked first, and `message` is called only
   * when somebody listens beside this node. Whoever listens later finds in the store what was sent before.
   */
  sendToOthers(channel: string, message: () => string): void;
  onMessage(listener: (channel: string, message: string) => void): void;
  /**
   * `listener` is called with channels on which something of this node may have reached nobody, as soon as something
   * reaches Redis again; with undefined when they are more than are remembered.
   */
  onLost(listener: (channels: string[] | undefined) => void): void;
  /** Resolves when Redis knows every channel listened to so far. */
  fence(): Promise<void>;
}

/**
 * ARGV: channel and message by turns; an empty message asks whether anybody listens there beside this node.
 * @returns the places of the channels where somebody does
 */
const SEND = `
local answer = {}
for i = 1, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then
    redis.call('SPUBLISH', ARGV[i], ARGV[i + 1])
  elseif redis.call('PUBSUB', 'SHARDNUMSUB', ARGV[i])[2] > 1 then
    answer[#answer + 1] = (i - 1) / 2
  end
end
return answer`;

/** Channels with a loss that are remembered. */
const MAX_LOST = 5_000;

type Send = (...args: string[]) => Promise<number[]>;
/** A function asks first. */
type Outgoing = { channel: string; message: string | (() => string) };

/**
 * Channels are those of Redis' sharded publish/subscribe. What one turn of the event loop sends, and what it listens to,
 * travels as one command each: after a group commit that is the rule, and a command costs more than its contents.
 */
export function createChannels(pub: Redis, sub: Redis): Channels {
  pub.defineCommand('duet_send', { lua: SEND, numberOfKeys: 0 });
  const send = (pub as unknown as { duet_send: Send }).duet_send.bind(pub);
  const listened = new Set<string>();
  /** Those that Redis is known to send to this node: only then is it one of those that Redis counts. */
  const settled = new Set<string>();
  const changed = new Set<string>();

  const lost = new Set<string>();
  let onLost: (channels: string[] | undefined) => void = () => {};

  function tellLost(): void {
    if (lost.size === 0) return;
    const channels = lost.size > MAX_LOST ? undefined : [...lost];
    lost.clear();
    onLost(channels);
  }

  async function sendAll(batch: Outgoing[]): Promise<void> {
    const words = batch.flatMap(({ channel, message }) => [channel, typeof message === 'string' ? message : '']);
    const listening = await send(...words).catch(() => undefined);
    if (listening === undefined) {
      // A hint that is lost: the store has it. The listeners' own connections may be fine, so they are told.
      for (const { channel } of batch) if (lost.size <= MAX_LOST) lost.add(channel);
      return;
    }
    for (const i of listening) {
      const { channel, message } = batch[i] as Outgoing;
      if (typeof message === 'function') void publish({ channel, message: message() });
    }
    tellLost();
  }
  const publish = perTurn(sendAll);

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

  pub.on('ready', tellLost);
  sub.on('close', () => settled.clear());
  sub.on('ready', () => {
    // The driver makes them again by itself, ahead of the ping.
    const again = [...listened];
    heard(sub).then(
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
    send: (channel, message) => void publish({ channel, message }),
    sendToOthers: (channel, message) => void publish({ channel, message: settled.has(channel) ? message : message() }),
    onMessage(listener) {
      sub.on('smessage', listener);
    },
    onLost(listener) {
      onLost = listener;
    },
    async fence() {
      // They share a connection, on which Redis answers in order, and publishes to whom it has answered.
      void applyChanges();
      await heard(sub);
    },
  };
}
