export { emptyKeyRing, type KeyRing, newKeyLine, parseKeyRing } from './key-ring.ts';
export { missingRingKeys, type Rotated, rotateKeys } from './rotation.ts';
export { createSealedStore, type SealedStoreDeps, type Unreadable } from './sealed-store.ts';
