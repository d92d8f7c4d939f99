import { type Chat, createApi, createChat } from '@duet/client';
import { useEffect, useState } from 'react';
import { Messenger } from './messenger.tsx';
import { session } from './session.ts';
import { SignIn } from './sign-in.tsx';

const url = window.location.origin;

function startChat(): Chat {
  const chat = createChat({ url, getToken: session.token, deviceId: session.deviceId() });
  chat.start();
  return chat;
}

/** Signs in, then shows the messenger of whoever signed in. */
export function App() {
  const [chat, setChat] = useState<Chat | undefined>(() => (session.token() ? startChat() : undefined));

  useEffect(() => {
    if (!chat) return;
    const wake = () => document.visibilityState === 'visible' && chat.wake();
    window.addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    return () => {
      window.removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', wake);
      chat.stop();
    };
  }, [chat]);

  if (!chat) {
    const api = createApi({ url, getToken: () => undefined });
    const signedIn = (token: string) => {
      session.begin(token);
      setChat(startChat());
    };
    return <SignIn api={api} onSignedIn={signedIn} />;
  }
  const signOut = () => {
    session.end();
    setChat(undefined);
  };
  return <Messenger chat={chat} onSignOut={signOut} />;
}
