import { type AdminCommand, on } from './command.ts';
import { table } from './text.ts';

/** What operators do to accounts. */
export const accountCommands: Record<string, AdminCommand> = {
  'users create': {
    args: 'NAME EMAIL',
    does: 'makes an account, also with REGISTRATION=off; prints its password, once',
    run: on(async ({ users }, [username = '', email = '']) => {
      const made = await users.create({ username, email });
      return { json: made, text: `${made.username} (${made.id}) signs in with ${made.email} and ${made.password}` };
    }),
  },
  'users password': {
    args: 'USER',
    does: 'gives a new password and prints it, once; who is signed in is out within 10 s',
    run: on(async ({ users }, [who = '']) => {
      const changed = await users.password(who);
      return { json: changed, text: `${changed.username} signs in with ${changed.email} and ${changed.password}` };
    }),
  },
  'users disable': {
    args: 'USER',
    does: 'nobody signs in any more, and who is signed in is out within 10 s; all that it has stays',
    run: on(async ({ users }, [who = '']) => {
      const user = await users.disable(who);
      return { json: user, text: `${user.username} is disabled. Open sockets close within 10 s.` };
    }),
  },
  'users enable': {
    args: 'USER',
    does: 'as it was before',
    run: on(async ({ users }, [who = '']) => {
      const user = await users.enable(who);
      return { json: user, text: `${user.username} can sign in.` };
    }),
  },
  'users delete': {
    args: 'USER --yes [--with-messages]',
    does: 'name and email are free again; peers keep the conversations, with emptied messages if you want',
    run: on(async ({ users }, [who = ''], { yes, withMessages }) => {
      if (!yes) throw new Error(`This cannot be undone. Repeat it with --yes to delete ${who}`);
      // Whatever ends this process: the name is free by then, and who was called so is found by the id alone.
      const begins = (id: string) => console.error(`Deleting ${id}. If this breaks off, repeat it with this id.`);
      const deleted = await users.delete(who, { messages: withMessages, begins });
      const { id, emptied, shredded } = deleted;
      const keys = shredded > 0 ? `, and the keys of ${shredded} conversations deleted` : '';
      return { json: deleted, text: `${who} (${id}) is deleted; ${emptied} messages were emptied${keys}.` };
    }),
  },
  'sessions list': {
    args: 'USER',
    does: 'where somebody is signed in',
    run: on(async ({ users }, [who = '']) => {
      const found = await users.sessions(who);
      return { json: found, text: table(['id', 'device', 'createdAt', 'lastUsedAt'], found) };
    }),
  },
  'sessions revoke': {
    args: 'USER [SESSION]',
    does: 'signs somebody out, everywhere or on one device',
    run: on(async ({ users }, [who = '', session]) => {
      const ended = await users.revoke(who, session);
      const voided = session === undefined ? ', and tokens of the host application from before are void' : '';
      return { json: { ended }, text: `${ended} sessions have ended${voided}. Open sockets close within 10 s.` };
    }),
  },
};
