import type { Draft } from '@duet/core';
import { type Box, openBox } from './box.ts';
import type { DataKey } from './key-ring.ts';

/**
 * How content is stored. Texts almost never begin with this character, and one that does gets another one before it, so
 * rows from before sealing, sealed rows and those from after it was switched off are told apart, whatever people write.
 *
 *     \u0001 1 <id of the conversation's key, 8 hex digits> <base64: nonce, ciphertext, tag>
 */
const MARK = '\u0001';
const SEALED = `${MARK}1`;
const HEAD = SEALED.length + 8;

/**
 * What a sealed content belongs to: all that is known of a message before it has its place. Put into another row, or
 * under another name, it does not open. Of these, (conversation, sender, tempId) is unique in the store.
 */
function boundTo({ conversation, sender, receiver, messageType, createdAt, tempId }: Draft, keyId: string): string {
  return `message 1 ${conversation} ${keyId} ${sender} ${receiver} ${messageType} ${createdAt} ${tempId}`;
}

/** The draft with its content sealed. */
export function sealed(draft: Draft, { id, key }: DataKey, box: Box): Draft {
  const content = `${SEALED}${id}${box(key, draft.content, boundTo(draft, id))}`;
  return { ...draft, content };
}

/** The draft with its content as it is, and not to be taken for a sealed one. */
export const plain = (draft: Draft): Draft =>
  draft.content.startsWith(MARK) ? { ...draft, content: MARK + draft.content } : draft;

/** Whether a stored content is sealed. */
export const isSealed = (content: string): boolean => content.startsWith(MARK) && content[1] !== MARK;

/** A stored content that is not sealed, as it was. */
export const unsealed = (content: string): string => (content.startsWith(MARK) ? content.slice(1) : content);

const keyOf = (content: string): string => content.slice(SEALED.length, HEAD);

/** Whether a content was sealed by a key of its conversation, and by another one than this. */
export const isOfAnotherKey = ({ content }: Draft, dataKey: DataKey | undefined): boolean =>
  dataKey !== undefined && content.startsWith(SEALED) && keyOf(content) !== dataKey.id;

export type Opened =
  | { content: string }
  | { why: 'its key is gone' | 'it is damaged' | 'a newer version wrote it' | 'it is not encrypted' };

/** Opens the content of a stored message. */
export function opened(entry: Draft, dataKey: DataKey | undefined): Opened {
  const { content } = entry;
  if (!content.startsWith(SEALED)) return { why: 'a newer version wrote it' };
  const id = keyOf(content);
  if (dataKey?.id !== id) return { why: 'its key is gone' };
  const text = openBox(dataKey.key, content.slice(HEAD), boundTo(entry, id));
  return text ? { content: text.toString('utf8') } : { why: 'it is damaged' };
}
