import { useChat } from '@duet/client/react';
import { VisuallyHidden } from '@mantine/core';
import { useEffect, useState } from 'react';
import { textOf } from './message-bubble.tsx';

/** As many as may come at once. */
const KEPT = 10;

/** Tells people who use a screen reader what the peer whose conversation is open has just written, and who else has. */
export function Announcements({ peerId: open }: { peerId: string | undefined }) {
  const chat = useChat();
  const [news, setNews] = useState<{ key: string; text: string }[]>([]);
  useEffect(
    () =>
      chat.on('message', ({ peerId, message, from: { username } }) => {
        const text = peerId === open ? `${username}: ${textOf(message)}` : `New message from ${username}`;
        setNews((known) => [...known, { key: message.key, text }].slice(-KEPT));
      }),
    [chat, open],
  );
  return (
    // Only what is added is read.
    <VisuallyHidden role="status" aria-label="New messages" aria-atomic={false}>
      {news.map(({ key, text }) => (
        <p key={key}>{text}</p>
      ))}
    </VisuallyHidden>
  );
}
