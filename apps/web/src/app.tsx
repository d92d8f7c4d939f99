import { type Chat, createApi, createChat, indexedDbStorage } from '@duet/client';
import { ChatProvider } from '@duet/client/react';
import { useState } from 'react';
import { Messenger } from './messenger.tsx';
import { session } from './session.ts';
import { SignIn } from './sign-in.tsx';

const url = window.location.origin;
const api = createApi({ url });

const makeChat = (): Chat =>
  createChat({ url, getToken: session.token, storage: indexedDbStorage(), deviceId: session.deviceId() });

/** Signs in, then shows the messenger of whoever signed in. */
export function App() {
  const [chat, setChat] = useState<Chat | undefined>(() => (session.token() ? makeChat() : undefined));

  if (!chat) {
    const signedIn = (token: string) => {
      session.begin(token);
      setChat(makeChat());
    };
    return <SignIn api={api} onSignedIn={signedIn} />;
  }
  const signOut = () => {
    session.end();
    setChat(undefined);
  };
  return (
    <ChatProvider chat={chat}>
      <Messenger onSignOut={signOut} />
    </ChatProvider>
  );
}
