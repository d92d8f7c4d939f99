// `npm run duet -- COMMAND`: what operators do beside running nodes.
import { parseArgs } from 'node:util';
import { rotateKeys } from '@duet/sealing';
import { loadBackups, loadStore } from './adapters.ts';
import { type Config, ConfigError, readConfig } from './config.ts';

const HELP = `npm run duet -- COMMAND

  backup FILE     copies the embedded database while servers run
  restore FILE    puts such a copy in its place, while servers run or not; what was written since is gone
  rotate-keys     wraps the keys of all conversations by the first key of the key ring, while servers run; then the
                  other keys of the ring may go
  check-config    says what is wrong with the environment

DATA_DIR names the folder of the database (./data).`;

/** The embedded database. @throws Error when messages are elsewhere */
function embedded({ store }: Config): string {
  if (store.kind === 'sqlite') return store.file;
  throw new Error('Messages are in MongoDB: use mongodump and mongorestore');
}

function showProgress(part: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${Math.round(part * 100)} %`);
}

type Command = (config: Config, file: string) => Promise<string>;

const commands: Record<string, { needsFile: boolean; run: Command }> = {
  backup: {
    needsFile: true,
    async run(config, file) {
      const { backUp } = await loadBackups();
      await backUp(embedded(config), file, showProgress);
      return `The database is in ${file}. Keep the key ring elsewhere: without it nobody can read the messages in it`;
    },
  },
  restore: {
    needsFile: true,
    async run(config, file) {
      const { restore, ringKeysOf } = await loadBackups();
      const { ring } = config.encryption;
      const missing = ringKeysOf(file).filter((name) => !ring.get(name));
      if (missing.length > 0) throw new Error(`The key ring lacks ${missing.join(', ')}: messages in ${file} need it`);
      await restore(file, embedded(config), showProgress);
      return `${embedded(config)} is what ${file} was`;
    },
  },
  'rotate-keys': {
    needsFile: false,
    async run({ store: kind, encryption }) {
      const store = await loadStore(kind);
      try {
        await store.ready();
        const { rewrapped, damaged } = await rotateKeys(store.dataKeys, encryption.ring);
        const rest = damaged > 0 ? `; ${damaged} are damaged and stay as they were` : '';
        return `${rewrapped} keys are wrapped by ${encryption.ring.current?.name}${rest}`;
      } finally {
        await store.close();
      }
    },
  },
  'check-config': {
    needsFile: false,
    async run({ store, encryption: { ring } }) {
      const { ringKeysOf } = await loadBackups();
      const missing = store.kind === 'sqlite' ? ringKeysOf(store.file).filter((name) => !ring.get(name)) : [];
      if (missing.length > 0) throw new Error(`The key ring lacks ${missing.join(', ')}: stored messages need it`);
      return 'The configuration is valid.';
    },
  },
};

try {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } });
  const [name = '', file = ''] = positionals;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (values.help || !command || (command.needsFile && file === '')) {
    console.log(HELP);
    process.exit(values.help ? 0 : 1);
  }
  console.log(await command.run(readConfig(process.env), file));
} catch (error) {
  const what = error instanceof ConfigError ? 'The configuration is not valid:\n' : '';
  console.error(what + (error instanceof Error ? error.message : String(error)));
  process.exit(1);
}
