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

const makeChat = (): Chat =>
  createChat({ url, getToken: session.getToken, storage: indexedDbStorage(), deviceId: deviceId() });

/** Signs in, then shows the messenger of whoever signed in. */
export function App() {
  const [chat, setChat] = useState<Chat | undefined>(() => (isSignedIn() ? makeChat() : undefined));
  useEffect(() => {
    if (!chat) leaveConversation();
  }, [chat]);

  if (!chat) {
    const signedIn = async (given: SignedIn) => {
      await session.begin(given);
      setChat(makeChat());
    };
    return <SignIn api={api} onSignedIn={signedIn} />;
  }
  const leave = () => setChat(undefined);
  const signOut = () => {
    void session.end();
    forgetDrafts();
    leave();
  };
  return (
    <ChatProvider chat={chat}>
      <BlocksProvider>
        <Messenger onSignOut={signOut} onRefused={leave} />
      </BlocksProvider>
    </ChatProvider>
  );
}
