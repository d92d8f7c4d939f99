import type { ChatMessage, Person } from '@duet/client';
import { useThread } from '@duet/client/react';
import { Button, Loader } from '@mantine/core';
import { IconArrowDown } from '@tabler/icons-react';
import { Fragment, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { Announcements } from './announcements.tsx';
import { MessageBubble } from './message-bubble.tsx';
import { OlderMessages, useOlder } from './older-messages.tsx';
import { dayKey, dayName } from './times.ts';

/** Nearer to the end than this, the last message is in view, and new ones pull the list along. */
const NEAR_END = 60;
const NEAR_START = 200;

interface MessagesProps {
  peer: Person;
  /** The user has said what becomes of a message that failed; the buttons for that are gone. */
  onAnswered: () => void;
}

export function Messages({ peer, onAnswered }: MessagesProps) {
  const { messages, loading, hasOlder, loadOlder, markRead, retry, discard } = useThread(peer.id);
  const box = useRef<HTMLDivElement>(null);
  const view = useRef({ atEnd: true, height: 0, pane: 0, first: '', last: '', count: 0 });
  const [isAtEnd, setAtEnd] = useState(true);
  /** The first message when the start was last in view. */
  const [startInView, setStartInView] = useState<string>();
  /** The last message that was in view. */
  const [seen, setSeen] = useState(0);
  const first = messages[0]?.key ?? '';
  const last = messages.at(-1)?.key ?? '';
  /** What says that there is news: an own message may have a higher place before what precedes it has come. */
  const lastOfPeer = messages.findLast(({ mine }) => !mine)?.seq ?? 0;

  const older = useOlder({ peerId: peer.id, first, inView: startInView, hasOlder, loadOlder });

  const measure = (element: HTMLDivElement) => {
    // The pane shrinks when the text below grows or a keyboard comes up: whoever reads the end stays there. Whatever
    // measures first has to see to that, since the end is out of view by then.
    if (view.current.atEnd && element.clientHeight !== view.current.pane) element.scrollTop = element.scrollHeight;
    view.current.pane = element.clientHeight;
    view.current.atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
    view.current.height = element.scrollHeight;
    setAtEnd(view.current.atEnd);
    setStartInView(element.scrollTop < NEAR_START ? view.current.first : undefined);
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const before = view.current;
    const from = messages.findIndex(({ key }) => key === before.first);
    // Older messages push the rest down: stay on what the reader looks at, also where both ends are near.
    if (from > 0) element.scrollTop += element.scrollHeight - before.height;
    const hasNews = from < 0 || messages.length - from > before.count || last !== before.last;
    if (hasNews && (before.atEnd || messages.at(-1)?.state === 'sending')) element.scrollTop = element.scrollHeight;
    view.current = { ...before, first, last, count: messages.length };
    measure(element);
  });

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => measure(element));
    observer.observe(element);
    return () => observer.disconnect();
  }, [loading]);

  useEffect(() => {
    if (!isAtEnd) return;
    setSeen(lastOfPeer);
    const read = () => document.visibilityState === 'visible' && markRead();
    read();
    document.addEventListener('visibilitychange', read);
    return () => document.removeEventListener('visibilitychange', read);
  }, [markRead, isAtEnd, lastOfPeer]);

  const goToEnd = () => {
    const element = box.current;
    if (!element) return;
    element.scrollTop = element.scrollHeight;
    // The button goes away.
    element.focus({ preventScroll: true });
  };

  const onRetry = useCallback(
    (key: string) => {
      retry(key);
      onAnswered();
    },
    [retry, onAnswered],
  );
  const onDiscard = useCallback(
    (key: string) => {
      discard(key);
      onAnswered();
    },
    [discard, onAnswered],
  );
  const loadFromButton = () => {
    // The button makes way for a sign that something happens.
    box.current?.focus({ preventScroll: true });
    older.load();
  };

  if (loading) {
    return (
      <div className="messages waiting">
        <Loader aria-label="Loading messages" />
      </div>
    );
  }
  return (
    <div className="thread">
      <div
        className="messages"
        ref={box}
        onScroll={({ currentTarget }) => measure(currentTarget)}
        role="log"
        aria-label="Messages"
        // Older pages are no news: what is new is said below.
        aria-live="off"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keyboard
        tabIndex={0}
      >
        {messages.length === 0 && <p className="empty">Say hello to {peer.username}.</p>}
        {hasOlder && <OlderMessages isLoading={older.isLoading} onLoad={loadFromButton} />}
        {messages.map((message, i) => (
          <Fragment key={message.key}>
            <DayHeading message={message} before={messages[i - 1]} />
            <MessageBubble
              message={message}
              author={message.mine ? 'You' : peer.username}
              startsGroup={messages[i - 1]?.mine !== message.mine}
              endsGroup={messages[i + 1]?.mine !== message.mine}
              onRetry={onRetry}
              onDiscard={onDiscard}
            />
          </Fragment>
        ))}
      </div>
      <Announcements peer={peer} />
      {!isAtEnd && lastOfPeer > seen && (
        <Button className="to-news" size="xs" radius="xl" leftSection={<IconArrowDown size={16} />} onClick={goToEnd}>
          New messages
        </Button>
      )}
    </div>
  );
}

function DayHeading({ message, before }: { message: ChatMessage; before: ChatMessage | undefined }) {
  if (before && dayKey(before.createdAt) === dayKey(message.createdAt)) return null;
  return <h2 className="day">{dayName(message.createdAt)}</h2>;
}
