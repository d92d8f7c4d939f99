import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** The whole tag: Node would take shorter ones, which are easier to guess. */
const TAG_BYTES = 16;
/** Nonces that are drawn together: one call for all costs less than the cipher does. */
const NONCES_AT_ONCE = 256;

/** Seals: nonce, ciphertext and tag in one. */
export type Box = (key: KeyObject, plain: string | Buffer, bound: string) => Buffer;

/**
 * AES-256-GCM with random nonces of 96 bits. NIST SP 800-38D allows them for 2^32 messages of one key; a conversation has
 * no more, since `seq` has 32 bits in a message id.
 * @returns a function that seals `plain` and binds it to `bound`, which is not in what it gives
 */
export function createBox(): Box {
  const nonces = Buffer.alloc(NONCE_BYTES * NONCES_AT_ONCE);
  let next = nonces.length;

  return (key, plain, bound) => {
    if (next === nonces.length) {
      randomFillSync(nonces);
      next = 0;
    }
    const nonce = nonces.subarray(next, next + NONCE_BYTES);
    next += NONCE_BYTES;
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(bound));
    const sealed = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
    const rest = cipher.final();
    return Buffer.concat([nonce, sealed, rest, cipher.getAuthTag()]);
  };
}

/** What was sealed with this key and bound to `bound`; undefined when it was anything else, or was changed. */
export function openBox(key: KeyObject, box: Buffer, bound: string): Buffer | undefined {
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
