import type { Person } from '@duet/client';
import { useEffect, useRef, useState } from 'react';

interface Entry {
  conversation?: true;
}
const isConversation = (): boolean => (history.state as Entry | null)?.conversation === true;

/** Whose conversation is open: an entry of the browser's history, so that Back leaves it and not the app. */
export function useOpenPeer() {
  const [peer, setPeer] = useState<Person>();
  const isLeaving = useRef(false);
  useEffect(() => {
    const onPopState = () => {
      isLeaving.current = false;
      setPeer(undefined);
    };
    window.addEventListener('popstate', onPopState);
    return () => window.removeEventListener('popstate', onPopState);
  }, []);

  const open = (person: Person) => {
    const entry: Entry = { conversation: true };
    // However many are looked at one after the other, the list is one step back.
    if (isConversation()) history.replaceState(entry, '');
    else history.pushState(entry, '');
    setPeer(person);
  };
  const close = () => {
    // Going back takes a moment: who asks twice means it once.
    if (isLeaving.current) return;
    isLeaving.current = true;
    history.back();
  };
  return { peer, open, close };
}
