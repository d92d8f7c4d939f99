import { useChatState, useConversations } from '@duet/client/react';
import { Button } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import { Announcements } from './announcements.tsx';
import { useBlocks } from './blocks.tsx';
import { Conversation } from './conversation.tsx';
import { useNewDay } from './new-day.ts';
import { useOpenPeer } from './open-peer.ts';
import { signedInAs } from './session.ts';
import { Sidebar } from './sidebar.tsx';

interface MessengerProps {
  /** The user has just signed in here: the form that had the focus has gone. */
  takesFocus: boolean;
  onSignOut: () => void;
  /** The user has deleted his account. */
  onDeleted: () => void;
  /** The user wants to sign in again. Nothing is ended by that: somebody else may have signed in in another tab. */
  onRefused: () => void;
}

/** Whoever leaves a conversation goes on from its row, or from the list where there is none; who signs in, from the list. */
function useFocusOnList(peerId: string | undefined, takesFocus: boolean) {
  const before = useRef(peerId);
  useEffect(() => {
    if (takesFocus) document.querySelector<HTMLElement>('.sidebar')?.focus();
  }, [takesFocus]);
  useEffect(() => {
    const list = document.querySelector<HTMLElement>('.sidebar');
    if (before.current && !peerId)
      (list?.querySelector<HTMLElement>(`[data-person="${before.current}"]`) ?? list)?.focus();
    before.current = peerId;
  }, [peerId]);
}

/** Two panes side by side; on a phone one at a time. */
export function Messenger({ takesFocus, onSignOut, onDeleted, onRefused }: MessengerProps) {
  useNewDay();
  const [userId] = useState(signedInAs);
  const { peer, open, close } = useOpenPeer(userId);
  useFocusOnList(peer?.id, takesFocus);
  /** Somebody else may sit here by now, who neither reads nor writes under this name. */
  const isRefused = useChatState(({ connection }) => connection === 'refused');
  const { unreadOf } = useBlocks();
  const unread = (useConversations() ?? []).reduce((sum, each) => sum + unreadOf(each), 0);

  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Duet` : 'Duet';
    return () => {
      document.title = 'Duet';
    };
  }, [unread]);

  return (
    <div className={peer && userId ? 'messenger has-peer' : 'messenger'}>
      <ConnectionBanner onRefused={onRefused} />
      {!isRefused && (
        <>
          <Announcements peerId={peer?.id} />
          <Sidebar selected={peer?.id} onSelect={open} onSignOut={onSignOut} onDeleted={onDeleted} />
          {peer && userId ? (
            <Conversation key={peer.id} userId={userId} peer={peer} onBack={close} />
          ) : (
            <main className="nobody">
              <img src="/icon.svg" alt="" width={72} height={72} />
              <p>Pick somebody on the left to start chatting.</p>
            </main>
          )}
        </>
      )}
    </div>
  );
}

const texts = {
  connecting: 'Connecting…',
  offline: 'You are offline. Messages will be sent when the connection is back.',
  refused: 'You have been signed out.',
};

function ConnectionBanner({ onRefused }: Pick<MessengerProps, 'onRefused'>) {
  const state = useChatState(({ connection }) => connection);
  const banner = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Everything else has gone. Not to the button: who is writing would press it.
    if (state === 'refused') banner.current?.focus();
  }, [state]);
  return (
    <div ref={banner} className="banner" role="status" data-state={state} tabIndex={-1}>
      {state !== 'online' && texts[state]}
      {state === 'refused' && (
        <Button size="compact-sm" variant="white" ml="sm" onClick={onRefused}>
          Sign in again
        </Button>
      )}
    </div>
  );
}
