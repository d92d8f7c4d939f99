import { type Chat, createApi, createChat, indexedDbStorage, type SignedIn } from '@duet/client';
import { ChatProvider } from '@duet/client/react';
import { useEffect, useState } from 'react';
import { BlocksProvider } from './blocks.tsx';
import { forgetDrafts } from './drafts.ts';
import { Messenger } from './messenger.tsx';
import { leaveConversation } from './open-peer.ts';
import { deviceId, isSignedIn, session } from './session.ts';
import { SignIn } from './sign-in.tsx';

const url = window.location.origin;
const api = createApi({ url });

const storage = indexedDbStorage();

const makeChat = (): Chat => createChat({ url, getToken: session.getToken, storage, deviceId: deviceId() });

/** What a user who is no more has not sent: nobody ever will. */
async function forgetOutbox(userId: string): Promise<void> {
  for (const { tempId } of await storage.list(userId)) await storage.remove(userId, tempId);
}

/** Signs in, then shows the messenger of whoever signed in. */
export function App() {
  const [chat, setChat] = useState<Chat | undefined>(() => (isSignedIn() ? makeChat() : undefined));
  const [notice, setNotice] = useState('');
  const [hasSignedIn, setHasSignedIn] = useState(false);
  useEffect(() => {
    if (!chat) return leaveConversation();
    // Another tab has changed what they share.
    const look = async () => {
      if (!(await session.isOver())) return;
      setNotice('You have been signed out.');
      forgetDrafts();
      setChat(undefined);
    };
    window.addEventListener('storage', look);
    return () => window.removeEventListener('storage', look);
  }, [chat]);

  if (!chat) {
    const signedIn = async (given: SignedIn) => {
      await session.begin(given);
      setNotice('');
      setHasSignedIn(true);
      setChat(makeChat());
    };
    return <SignIn api={api} notice={notice} onSignedIn={signedIn} />;
  }
  const leave = () => setChat(undefined);
  const signOut = () => {
    // Over at the server in any case.
    session.end().catch(() => {});
    forgetDrafts();
    leave();
  };
  const deleted = () => {
    const userId = chat.getState().me?._id;
    // First: what it still sends would be kept again when it is refused.
    chat.stop();
    if (userId) forgetOutbox(userId).catch(() => {}); // A browser that keeps nothing.
    setNotice('Your account has been deleted.');
    signOut();
  };
  return (
    <ChatProvider chat={chat}>
      <BlocksProvider>
        <Messenger takesFocus={hasSignedIn} onSignOut={signOut} onDeleted={deleted} onRefused={leave} />
      </BlocksProvider>
    </ChatProvider>
  );
}
