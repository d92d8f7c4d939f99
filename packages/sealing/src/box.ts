import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** The whole tag: Node would take shorter ones, which are easier to guess. */
const TAG_BYTES = 16;
/** Nonces that are drawn together: one call for all costs less than the cipher does. */
const NONCES_AT_ONCE = 256;
const ROOM_BYTES = 4096;

/** Gives nonce, ciphertext and tag in one, in base64. */
export type Box = (key: KeyObject, plain: string | Buffer, bound: string) => string;

/**
 * AES-256-GCM with random nonces of 96 bits. NIST SP 800-38D allows them for 2^32 messages of one key; a conversation has
 * no more, since `seq` has 32 bits in a message id.
 * @returns a function that seals `plain` and binds it to `bound`, which is not in what it gives
 */
export function createBox(): Box {
  const random = Buffer.allocUnsafeSlow(NONCE_BYTES * NONCES_AT_ONCE);
  const nonces = Array.from({ length: NONCES_AT_ONCE }, (_, i) =>
    random.subarray(i * NONCE_BYTES, (i + 1) * NONCE_BYTES),
  );
  let used = NONCES_AT_ONCE;
  // Where boxes are put together: each message is sealed, and what a seal leaves to the garbage collector is part of its
  // price.
  let room = Buffer.allocUnsafeSlow(ROOM_BYTES);

  return (key, plain, bound) => {
    if (used === NONCES_AT_ONCE) {
      randomFillSync(random);
      used = 0;
    }
    const nonce = nonces[used++] as Buffer;
    // Without options, which cost: a tag that is made here is whole unless somebody asks for less.
    const cipher = createCipheriv(CIPHER, key, nonce);
    cipher.setAAD(Buffer.from(bound));
    const sealed = cipher.update(typeof plain === 'string' ? Buffer.from(plain) : plain);
    // Nothing is held back: this mode has no blocks to fill up.
    cipher.final();
    const end = NONCE_BYTES + sealed.length;
    if (end + TAG_BYTES > room.length) room = Buffer.allocUnsafeSlow(end + TAG_BYTES);
    room.set(nonce);
    room.set(sealed, NONCE_BYTES);
    room.set(cipher.getAuthTag(), end);
    return room.toString('base64', 0, end + TAG_BYTES);
  };
}

/** What was sealed with this key and bound to `bound`; undefined when it was anything else, or was changed. */
export function openBox(key: KeyObject, base64: string, bound: string): Buffer | undefined {
  const box = Buffer.from(base64, 'base64');
  if (box.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const nonce = box.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(bound));
  decipher.setAuthTag(box.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(box.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    // The tag is wrong: that is the answer, and all that OpenSSL says.
    return undefined;
  }
}
