import { randomBytes } from 'node:crypto';
import { Adapter, type BroadcastOptions } from 'socket.io-adapter';
import type { Channels } from './channels.ts';

/** A packet as Socket.IO hands it over; `text` when it has been put into words before, here or at another node. */
interface Packet {
  type: number;
  data: unknown[];
  text?: string;
}
interface Encoder {
  encode(packet: Packet & { nsp?: string }): unknown[];
}
/** What of a Socket.IO namespace is needed here. */
interface Namespace {
  name: string;
  server: { encoder: Encoder };
}

const EVENT = 2;
/** A message between nodes: who sends it, this, and the text of the packet. What another version may send is passed over. */
const IS_EVENT = 'e';
const NODE_ID_BYTES = 4;
const KIND_AT = NODE_ID_BYTES * 2;

/** An event that came in words. They are read only when somebody listens to what goes out, which hardly anybody does. */
function eventOf(text: string): Packet {
  let data: unknown[] | undefined;
  return {
    type: EVENT,
    text,
    get data() {
      data ??= JSON.parse(text.slice(text.indexOf('['))) as unknown[];
      return data;
    },
  };
}

/** A channel for each room, and one for everybody. */
function createNames(everybody: string) {
  return {
    everybody,
    channelOf({ rooms }: BroadcastOptions): string {
      if (rooms.size > 1) throw new Error('a message goes to one room or to everybody');
      const [room] = rooms;
      return room === undefined ? everybody : everybody + room;
    },
    roomsOf: (channel: string) => new Set(channel === everybody ? [] : [channel.slice(everybody.length)]),
  };
}

/** Whether an emit has a socket of this node to go to. */
function hasAudience(adapter: Adapter, { rooms, except }: BroadcastOptions): boolean {
  if (rooms.size === 0) return true;
  for (const room of rooms) for (const id of adapter.rooms.get(room) ?? []) if (!except?.has(id)) return true;
  return false;
}

/**
 * Socket.IO's own adapter for the sockets of this node, and channels to the other nodes: one for each room that has a
 * socket here, and one that all nodes listen to. So a packet costs the nodes that hold its room.
 *
 * It differs from @socket.io/redis-adapter's sharded one, whose idea this is, in what a message costs: a packet is put
 * into words once, by the node that sends it; local sockets do not wait for Redis; what a sender's other devices get is
 * published only when another node has one of them. What spans nodes beside emitting (counting or disconnecting
 * sockets, acknowledged broadcasts) does not exist here: it would cost all nodes.
 */
export function createSocketAdapter(
  channels: Channels,
  { prefix, onLost }: { prefix: string; onLost: (rooms: string[] | undefined) => void },
): (namespace: Namespace) => Adapter {
  const self = randomBytes(NODE_ID_BYTES).toString('hex');

  // Socket.IO says `new` to it, which an arrow function does not take.
  return function socketAdapter(namespace: Namespace): Adapter {
    const adapter = new Adapter(namespace);
    const { everybody, channelOf, roomsOf } = createNames(`${prefix}#${namespace.name}#`);
    channels.listen(everybody);
    adapter.on('create-room', (room) => {
      // Each socket has a room of its own, which only its node speaks of.
      if (!adapter.sids.has(room)) channels.listen(everybody + room);
    });
    adapter.on('delete-room', (room) => channels.forget(everybody + room));

    channels.onLost((lost) => {
      const isForAll = lost === undefined || lost.includes(everybody);
      onLost(isForAll ? undefined : lost.flatMap((channel) => [...roomsOf(channel)]));
    });
    const broadcastHere = bindBroadcast(adapter, namespace.server.encoder);
    channels.onMessage((channel, message) => {
      if (!channel.startsWith(everybody) || message.startsWith(self) || message[KIND_AT] !== IS_EVENT) return;
      broadcastHere(eventOf(message.slice(KIND_AT + 1)), { rooms: roomsOf(channel) });
    });

    const wordsOf = (packet: Packet) =>
      namespace.server.encoder.encode({ ...packet, nsp: namespace.name })[0] as string;
    return Object.assign(adapter, {
      broadcast(packet: Packet, options: BroadcastOptions) {
        if (options.flags?.local) return broadcastHere(packet, options);
        const channel = channelOf(options);
        if (options.except?.size) {
          // Who leaves out one of his sockets is here; his others are mostly nowhere.
          channels.sendToOthers(channel, () => self + IS_EVENT + wordsOf(packet));
          if (hasAudience(adapter, options)) broadcastHere(packet, options);
          return;
        }
        const text = wordsOf(packet);
        channels.send(channel, self + IS_EVENT + text);
        if (hasAudience(adapter, options)) broadcastHere({ ...packet, text }, options);
      },
    });
  };
}

/** How Socket.IO's adapter emits to the sockets of this node; packets that are in words already stay as they are. */
function bindBroadcast(adapter: Adapter, encoder: Encoder) {
  const encode = (packet: Packet) => (packet.text === undefined ? encoder.encode(packet) : [packet.text]);
  Object.assign(adapter, { encoder: { encode } });
  return adapter.broadcast.bind(adapter);
}
