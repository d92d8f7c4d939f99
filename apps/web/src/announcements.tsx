import type { ChatMessage, Person } from '@duet/client';
import { useChat } from '@duet/client/react';
import { VisuallyHidden } from '@mantine/core';
import { useEffect, useState } from 'react';
import { textOf } from './message-bubble.tsx';

/** As many as may come at once. */
const KEPT = 10;

/** Tells people who use a screen reader what the peer has just written. */
export function Announcements({ peer }: { peer: Person }) {
  const chat = useChat();
  const [news, setNews] = useState<ChatMessage[]>([]);
  useEffect(
    () =>
      chat.on('message', ({ peerId, message }) => {
        if (peerId === peer.id) setNews((known) => [...known, message].slice(-KEPT));
      }),
    [chat, peer.id],
  );
  return (
    // Only what is added is read.
    <VisuallyHidden role="status" aria-label="New messages" aria-atomic={false}>
      {news.map((message) => (
        <p key={message.key}>
          {peer.username}: {textOf(message)}
        </p>
      ))}
    </VisuallyHidden>
  );
}
