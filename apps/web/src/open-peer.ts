import type { Person } from '@duet/client';
import { useEffect, useRef, useState } from 'react';

interface Entry {
  conversation?: { userId: string; peer: Person } | true;
}
const conversation = (): Entry['conversation'] => (history.state as Entry | null)?.conversation;

/** From a conversation back to the list, where the next user begins. The entry stays ahead of him, so it names nobody. */
export function leaveConversation(): void {
  if (!conversation()) return;
  history.replaceState({ conversation: true } satisfies Entry, '');
  history.back();
}

/**
 * Whose conversation is open: an entry of the browser's history, so that Back leaves it and not the app. The entry
 * outlives the page, so it says who it was: a page that is loaded anew goes on there, and Forward leads there again.
 * @param userId undefined where it is not known
 */
export function useOpenPeer(userId: string | undefined) {
  const [peer, setPeer] = useState<Person>();
  const isLeaving = useRef(false);
  useEffect(() => {
    if (!peer || !userId) return;
    // Whether he is online will be another matter when the entry is read.
    const entry: Entry = { conversation: { userId, peer: { ...peer, isOnline: false, lastSeen: undefined } } };
    // However many are looked at one after the other, the list is one step back.
    if (conversation()) history.replaceState(entry, '');
    else history.pushState(entry, '');
  }, [peer, userId]);

  useEffect(() => {
    const entered = () => {
      const entry = conversation();
      if (!entry) setPeer(undefined);
      else if (entry !== true && entry.userId === userId) setPeer(entry.peer);
      // Somebody else's, as when another tab has signed in.
      else if (userId) history.back();
    };
    const onPopState = () => {
      isLeaving.current = false;
      entered();
    };
    window.addEventListener('popstate', onPopState);
    if (conversation()) entered();
    return () => window.removeEventListener('popstate', onPopState);
  }, [userId]);

  const close = () => {
    // Going back takes a moment: who asks twice means it once.
    if (isLeaving.current) return;
    isLeaving.current = true;
    history.back();
  };
  return { peer, open: setPeer, close };
}
