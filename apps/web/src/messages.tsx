import type { ChatMessage, Person, Thread } from '@duet/client';
import { useThread } from '@duet/client/react';
import { Button, Divider } from '@mantine/core';
import { IconArrowDown } from '@tabler/icons-react';
import { Fragment, useCallback, useEffect, useRef, useState } from 'react';
import { MessageBubble } from './message-bubble.tsx';
import { MissingMessages, useNewest, useOlder } from './missing-messages.tsx';
import { usePlace } from './place.ts';
import { dayKey, dayName } from './times.ts';

interface MessagesProps {
  peer: Person;
  /** The last message that the user has written here. */
  written: string | undefined;
  /** The user has said what becomes of a message that failed; the buttons for that are gone. */
  onAnswered: () => void;
}

/** Which messages the divider announces: those that were unread when all that is newest was there first, or at `renew`. */
function useNews({ messages, hasNewest, readSeq }: Pick<Thread, 'messages' | 'hasNewest' | 'readSeq'>) {
  const [news, setNews] = useState<{ after: number; upTo: number }>();
  const renew = () => setNews({ after: readSeq, upTo: messages.findLast(isPlaced)?.seq ?? 0 });
  if (hasNewest && !news) renew();
  const isNew = ({ mine, seq = 0 }: ChatMessage) => news && !mine && seq > news.after && seq <= news.upTo;
  /** The first of them that is loaded. */
  return { firstNew: messages.find(isNew)?.key, renew };
}
const isPlaced = ({ seq }: ChatMessage) => seq !== undefined;

export function Messages({ peer, written, onAnswered }: MessagesProps) {
  const thread = useThread(peer.id);
  const { messages, hasNewest, hasOlder, loadOlder, readSeq, markRead, retry, discard } = thread;
  const { firstNew, renew } = useNews(thread);
  const divider = useRef<HTMLDivElement>(null);
  const { box, isAtEnd, isAtEndNow, startInView, onScroll, goToNews } = usePlace({
    messages,
    isComplete: hasNewest,
    firstNew,
    divider,
    firstUnread: messages.findIndex(({ mine, seq = 0 }) => !mine && seq > readSeq),
    onMoreThanFits: renew,
    written,
  });
  /** The last message that was in view. */
  const [seen, setSeen] = useState(0);
  /** What says that there is news: an own message may have a higher place before what precedes it has come. */
  const lastOfPeer = messages.findLast(({ mine }) => !mine)?.seq ?? 0;

  const newest = useNewest(peer.id);
  const older = useOlder({ first: messages[0]?.key ?? '', inView: startInView, hasNewest, hasOlder, loadOlder });

  useEffect(() => {
    // Until the newest page is there, the newest message stands alone where others may be missing.
    if (!hasNewest || !isAtEnd || !isAtEndNow()) return;
    setSeen(lastOfPeer);
    const read = () => document.visibilityState === 'visible' && markRead();
    read();
    document.addEventListener('visibilitychange', read);
    return () => document.removeEventListener('visibilitychange', read);
  }, [markRead, hasNewest, isAtEnd, isAtEndNow, lastOfPeer]);

  const onNews = () => {
    goToNews();
    // The button goes away.
    box.current?.focus({ preventScroll: true });
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
  /** The button makes way for a sign that something happens. */
  const byButton = (load: () => void) => () => {
    box.current?.focus({ preventScroll: true });
    load();
  };
  const isEmpty = messages.length === 0;

  return (
    <div className="thread">
      <div
        className={isEmpty && !hasNewest ? 'messages waiting' : 'messages'}
        ref={box}
        onScroll={onScroll}
        role="log"
        aria-label="Messages"
        // Older pages are no news: what is new is said elsewhere.
        aria-live="off"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keyboard
        tabIndex={0}
      >
        {isEmpty && hasNewest && <p className="empty">Say hello to {peer.username}.</p>}
        {!hasNewest && <MissingMessages what="messages" {...newest} load={byButton(newest.load)} />}
        {hasNewest && hasOlder && <MissingMessages what="older messages" {...older} load={byButton(older.load)} />}
        {messages.map((message, i) => (
          <Fragment key={message.key}>
            <DayHeading message={message} before={messages[i - 1]} />
            {message.key === firstNew && <Divider ref={divider} label="New messages" mb="xs" />}
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
      {!isAtEnd && lastOfPeer > seen && (
        <Button className="to-news" size="xs" radius="xl" leftSection={<IconArrowDown size={16} />} onClick={onNews}>
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
