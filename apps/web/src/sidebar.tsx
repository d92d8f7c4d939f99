import { type ChatMessage, type Conversation, type DuetError, errorTable, type Person } from '@duet/client';
import { useChat, useChatState, useConversations } from '@duet/client/react';
import {
  ActionIcon,
  Badge,
  SegmentedControl,
  Skeleton,
  Text,
  TextInput,
  Tooltip,
  UnstyledButton,
  VisuallyHidden,
} from '@mantine/core';
import { IconLogout, IconSearch, IconSettings } from '@tabler/icons-react';
import { memo, type ReactNode, useCallback, useEffect, useRef, useState } from 'react';
import { useBlocks } from './blocks.tsx';
import { textOf } from './message-bubble.tsx';
import { PersonAvatar, presenceText, usePresenceCount } from './person.tsx';
import { Settings } from './settings.tsx';
import { lastSeenText, shortTime } from './times.ts';

interface SidebarProps {
  selected: string | undefined;
  onSelect: (peer: Person) => void;
  onSignOut: () => void;
  onDeleted: () => void;
}

type Tab = 'chats' | 'people';

export function Sidebar({ selected, onSelect, onSignOut, onDeleted }: SidebarProps) {
  const [chosen, setTab] = useState<Tab>();
  const [search, setSearch] = useState('');
  const [hasSettings, showSettings] = useState(false);
  const me = useChatState((state) => state.me);
  const isEmpty = useChatState(({ conversations }) => conversations?.length === 0);
  const select = useCallback(
    (peer: Person) => {
      setSearch('');
      onSelect(peer);
    },
    [onSelect],
  );
  const tab = search ? 'people' : (chosen ?? (isEmpty ? 'people' : 'chats'));

  return (
    <nav className="sidebar" aria-label="Chats and people" tabIndex={-1}>
      <header className="bar">
        <PersonAvatar id={me?._id ?? '0'} name={me?.username ?? ''} isOnline={false} size={36} />
        <Text fw={600} truncate flex={1}>
          {me?.username}
        </Text>
        <Tooltip label="Settings">
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Settings" onClick={() => showSettings(true)}>
            <IconSettings size={20} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Sign out">
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Sign out" onClick={onSignOut}>
            <IconLogout size={20} />
          </ActionIcon>
        </Tooltip>
      </header>
      <Settings opened={hasSettings} onClose={() => showSettings(false)} onDeleted={onDeleted} />
      <div className="sidebar-tools">
        <TextInput
          aria-label="Search people"
          placeholder="Search people"
          leftSection={<IconSearch size={16} />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          radius="xl"
        />
        <SegmentedControl
          aria-label="What to show"
          fullWidth
          size="sm"
          radius="xl"
          mt="xs"
          value={tab}
          onChange={(value) => {
            setSearch('');
            setTab(value as Tab);
          }}
          data={[
            { value: 'chats', label: 'Chats' },
            { value: 'people', label: 'People' },
          ]}
        />
      </div>
      {tab === 'chats' ? (
        <Chats selected={selected} onSelect={select} />
      ) : (
        <People selected={selected} onSelect={select} search={search} />
      )}
    </nav>
  );
}

type ListProps = Pick<SidebarProps, 'selected' | 'onSelect'>;

function prefixOf({ mine, state }: ChatMessage): string {
  if (state === 'failed') return 'Not sent: ';
  return mine ? 'You: ' : '';
}

function Chats({ selected, onSelect }: ListProps) {
  const conversations = useConversations();
  const typing = useChatState((state) => state.typing);
  const { unreadOf } = useBlocks();
  if (!conversations) return <Loading />;
  if (conversations.length === 0) return <p className="empty">No chats yet. Find somebody under People.</p>;
  return (
    <ul className="list" aria-label="Chats">
      {conversations.map((conversation) => (
        <ChatRow
          key={conversation.peer.id}
          conversation={conversation}
          unreadCount={unreadOf(conversation)}
          isTyping={typing[conversation.peer.id] === true}
          selected={selected === conversation.peer.id}
          onSelect={onSelect}
          time={shortTime(conversation.lastMessage.createdAt)}
        />
      ))}
    </ul>
  );
}

interface ChatRowProps extends Omit<RowProps, 'person' | 'children'> {
  conversation: Conversation;
  /** Not that of the conversation where the peer is blocked. */
  unreadCount: number;
  isTyping: boolean;
}

/** Who has hundreds of chats gets a message in one of them: the others need not be made again. */
const ChatRow = memo(function ChatRow({ conversation, unreadCount, isTyping, ...row }: ChatRowProps) {
  const { peer, lastMessage } = conversation;
  return (
    <Row person={peer} {...row}>
      <VisuallyHidden>{presenceText(peer)}</VisuallyHidden>
      <Text size="sm" c={isTyping ? 'var(--live)' : 'dimmed'} truncate flex={1} fw={unreadCount > 0 ? 600 : 400}>
        {isTyping ? (
          'typing…'
        ) : (
          <>
            {prefixOf(lastMessage)}
            <bdi>{textOf(lastMessage)}</bdi>
          </>
        )}
      </Text>
      {unreadCount > 0 && (
        <Badge circle={unreadCount < 10} color="indigo" role="img" aria-label={`${unreadCount} unread`}>
          {unreadCount}
        </Badge>
      )}
    </Row>
  );
});

interface Found {
  search: string;
  users: Person[];
  hasMore: boolean;
}

const SEARCH_PAUSE_MS = 200;
const SEARCH_RETRY_MS = 3_000;
/** Where newcomers keep coming, they are asked for so often. */
const SEARCH_AGAIN_MS = 1_000;

function People({ selected, onSelect, search }: ListProps & { search: string }) {
  const chat = useChat();
  const [found, setFound] = useState<Found>();
  const [problem, setProblem] = useState('');
  const online = useChatState((state) => state.connection === 'online');
  const me = useChatState((state) => state.me?._id);
  const people = useChatState((state) => state.people);
  const presenceCount = usePresenceCount();

  // Somebody came online whose name nobody has said: new here, so ask again. The last one: those before him may be in no
  // answer, as when they are not searched for.
  const newcomer = Object.values(people).findLast(({ id, username }) => id !== me && username === '')?.id;
  const isOutdated = useRef(() => {});

  useEffect(() => {
    if (!online) return;
    let isCurrent = true;
    let isOld = false;
    const ask = () => {
      isOld = false;
      chat.findPeople({ q: search, limit: 100 }).then(
        (answer) => {
          if (!isCurrent) return;
          setFound({ search, users: answer.people, hasMore: answer.nextCursor !== undefined });
          setProblem('');
          next = isOld ? setTimeout(ask, SEARCH_AGAIN_MS) : undefined;
        },
        ({ code, message, retryAfterMs = 0 }: DuetError) => {
          if (!isCurrent) return;
          setProblem(message);
          const isLater = errorTable[code].retry !== 'never';
          next = isLater ? setTimeout(ask, SEARCH_RETRY_MS + retryAfterMs) : undefined;
        },
      );
    };
    setProblem('');
    // From when it is set until that one is answered.
    let next: ReturnType<typeof setTimeout> | undefined = setTimeout(ask, search ? SEARCH_PAUSE_MS : 0);
    isOutdated.current = () => {
      isOld = true;
      next ??= setTimeout(ask, SEARCH_AGAIN_MS);
    };
    return () => {
      isCurrent = false;
      clearTimeout(next);
      isOutdated.current = () => {};
    };
  }, [chat, search, online]);
  // What is under way is not begun anew for it: where strangers keep coming, nothing would ever be found.
  useEffect(() => isOutdated.current(), [newcomer, presenceCount]);

  // What was found before says something while the next answer is about to come, and if it names anybody.
  const isStale = found?.search !== search && (found?.users.length === 0 || problem !== '' || !online);
  const shown = isStale ? undefined : found;
  return (
    <>
      <PeopleFound found={shown} problem={problem} search={search} />
      {!shown && !problem && <Loading />}
      {shown && shown.users.length > 0 && (
        <ul className="list" aria-label="People">
          {shown.users.map((user) => {
            const person = people[user.id] ?? user;
            return (
              <Row key={user.id} person={person} selected={selected === user.id} onSelect={onSelect}>
                <Text size="sm" c="dimmed" truncate>
                  {person.isOnline ? 'online' : lastSeenText(person.lastSeen)}
                </Text>
              </Row>
            );
          })}
          {shown.hasMore && (
            <li className="empty">These are the first {shown.users.length}: type more of a name to find others.</li>
          )}
        </ul>
      )}
    </>
  );
}

interface PeopleFoundProps {
  /** What is shown, which may be of the search before. Undefined until something is known. */
  found: Found | undefined;
  problem: string;
  search: string;
}

/** Says what has come of a search; for those who do not see the list as well, so it is always there. */
function PeopleFound({ found, problem, search }: PeopleFoundProps) {
  const count = found?.users.length;
  const nobody = search
    ? 'Nobody of that name.'
    : 'Nobody else is here yet. Open a private window or another browser, and register there.';
  return (
    <div role="status">
      {found ? count === 0 && <p className="empty">{nobody}</p> : problem && <p className="empty">{problem}</p>}
      {search && search === found?.search && count !== 0 && (
        <VisuallyHidden>{`${count} found for ${search}`}</VisuallyHidden>
      )}
    </div>
  );
}

interface RowProps {
  person: Person;
  selected: boolean;
  onSelect: (peer: Person) => void;
  time?: string;
  children: ReactNode;
}

function Row({ person, selected, onSelect, time, children }: RowProps) {
  const { id, username, isOnline } = person;
  return (
    <li>
      <UnstyledButton className="row" data-person={id} aria-current={selected} onClick={() => onSelect(person)}>
        <PersonAvatar id={id} name={username} isOnline={isOnline} />
        <span className="row-text">
          <span className="row-line">
            <Text fw={600} truncate flex={1}>
              {username}
            </Text>
            {time && (
              <Text size="xs" c="dimmed">
                {time}
              </Text>
            )}
          </span>
          <span className="row-line">{children}</span>
        </span>
      </UnstyledButton>
    </li>
  );
}

function Loading() {
  return (
    <div className="list" role="status" aria-busy>
      <VisuallyHidden>Loading</VisuallyHidden>
      {[1, 2, 3, 4].map((i) => (
        <div className="row" key={i}>
          <Skeleton circle height={44} />
          <span className="row-text">
            <Skeleton height={12} width="45%" />
            <Skeleton height={10} width="75%" mt={8} />
          </span>
        </div>
      ))}
    </div>
  );
}
