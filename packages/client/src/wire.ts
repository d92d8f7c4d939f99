// What goes over the wire, from the contract's tables: types alone, nothing of its validation is shipped. The build
// writes this file's declarations out in full, so that an app needs neither the contract nor its tools.
import type {
  ClientEventAnswer,
  ClientEventInput,
  ClientEventName,
  ServerEvent,
  ServerEventName,
} from '@duet/contract';

export type {
  Conversation,
  Message,
  MessageType,
  Participant,
  Privacy,
  Synced,
  SyncedConversation,
  User,
  Watermarks,
} from '@duet/contract';

/** What the server emits: name -> payload. */
export type ServerEvents = { [N in ServerEventName]: ServerEvent<N> };
/** What a client emits: name -> payload and the data of its acknowledgement. */
export type ClientEvents = { [N in ClientEventName]: { input: ClientEventInput<N>; answer: ClientEventAnswer<N> } };
