import type { Chat } from '@duet/client';
import { Button } from '@mantine/core';
import { useEffect, useState } from 'react';
import { Conversation, type Peer } from './conversation.tsx';
import { Sidebar } from './sidebar.tsx';
import { useChat } from './use-chat.ts';

interface MessengerProps {
  chat: Chat;
  onSignOut: () => void;
}

/** Two panes side by side; on a phone one at a time. */
export function Messenger({ chat, onSignOut }: MessengerProps) {
  const [peer, setPeer] = useState<Peer>();
  const unread = useChat(chat, ({ conversations }) =>
    (conversations ?? []).reduce((sum, each) => sum + each.unreadCount, 0),
  );

  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Duet` : 'Duet';
  }, [unread]);

  return (
    <div className={peer ? 'messenger has-peer' : 'messenger'}>
      <ConnectionBanner chat={chat} onSignOut={onSignOut} />
      <Sidebar chat={chat} selected={peer?.id} onSelect={setPeer} onSignOut={onSignOut} />
      {peer ? (
        <Conversation key={peer.id} chat={chat} peer={peer} onBack={() => setPeer(undefined)} />
      ) : (
        <main className="nobody">
          <img src="/icon.svg" alt="" width={72} height={72} />
          <p>Pick somebody on the left to start chatting.</p>
        </main>
      )}
    </div>
  );
}

const texts = {
  connecting: 'Connecting…',
  offline: 'You are offline. Messages will be sent when the connection is back.',
  refused: 'You have been signed out.',
};

function ConnectionBanner({ chat, onSignOut }: MessengerProps) {
  const state = useChat(chat, ({ connection }) => connection);
  return (
    <div className="banner" role="status" data-state={state}>
      {state !== 'online' && texts[state]}
      {state === 'refused' && (
        <Button size="compact-sm" variant="white" ml="sm" onClick={onSignOut}>
          Sign in again
        </Button>
      )}
    </div>
  );
}
