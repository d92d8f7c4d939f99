import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type ClusterView, createInboxAdmin, createUserAdmin, type Store } from '@duet/core';
import { createSealedStore } from '@duet/sealing';
import { hash } from 'bcryptjs';
import { loadRedisView, loadStore } from '../adapters.ts';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { createLocalView } from './local-view.ts';

/** 16 characters that nobody guesses. */
const PASSWORD_BYTES = 12;

/** What commands work with. */
export interface Admin {
  store: Store;
  users: ReturnType<typeof createUserAdmin>;
  inbox: ReturnType<typeof createInboxAdmin>;
}

/** Works with a store, and lets go of it. @throws DuetError UNAVAILABLE when it does not answer */
export async function withStore<T>(store: Store, work: (store: Store) => Promise<T>): Promise<T> {
  try {
    await store.ready();
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The store that the servers of this environment use. @throws Error in plain words when there is none */
export async function openStore({ store }: Config): Promise<Store> {
  // Opening it would make it, and whoever mistypes DATA_DIR would look at an empty one.
  if (store.kind === 'sqlite' && !existsSync(store.file)) throw new Error(`There is no database ${store.file}`);
  return loadStore(store);
}

/**
 * What commands work with, beside the servers of this environment.
 * @throws Error in plain words when there is no store; DuetError UNAVAILABLE when it does not answer
 */
export async function withAdmin<T>(config: Config, work: (admin: Admin) => Promise<T>): Promise<T> {
  // What cannot be opened comes out empty and is marked; the nodes say why.
  const observe = { unreadable: () => {}, damagedKey: () => {} };
  const sealing = { ...config.encryption, clock: systemClock, observe };
  const store = createSealedStore(await openStore(config), sealing);
  const users = createUserAdmin({
    store,
    clock: systemClock,
    pause,
    newId: () => randomBytes(12).toString('hex'),
    newPassword: () => randomBytes(PASSWORD_BYTES).toString('base64url'),
    hash: (password) => hash(password, config.passwordCost),
  });
  const inbox = createInboxAdmin({ admin: store.admin, clock: systemClock, pause });
  return withStore(store, () => work({ store, users, inbox }));
}

/** The nodes of this environment. */
export async function withView<T>(config: Config, work: (view: ClusterView) => Promise<T>): Promise<T> {
  const view = config.cluster.kind === 'redis' ? await loadRedisView(config.cluster) : createLocalView(config.port);
  try {
    return await work(view);
  } finally {
    await view.close();
  }
}
