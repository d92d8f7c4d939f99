import type { Person } from '@duet/client';
import { useChat } from '@duet/client/react';
import { Avatar, Indicator } from '@mantine/core';
import { useEffect, useState } from 'react';

const COLORS = ['indigo', 'teal', 'grape', 'orange', 'cyan', 'pink', 'lime', 'violet', 'blue', 'red'];

/** The same person has the same colour everywhere. */
function colorOf(id: string): string {
  return COLORS[Number.parseInt(id.slice(-4), 16) % COLORS.length] as string;
}

interface PersonAvatarProps {
  id: string;
  name: string;
  isOnline: boolean;
  size?: number;
}

export function PersonAvatar({ id, name, isOnline, size = 44 }: PersonAvatarProps) {
  const initials = name
    .split(/[\s._-]+/)
    .slice(0, 2)
    .map((word) => [...word][0] ?? '')
    .join('')
    .toUpperCase();
  return (
    <Indicator color="teal" size={12} offset={5} position="bottom-end" withBorder disabled={!isOnline}>
      <Avatar color={colorOf(id)} variant="filled" radius="xl" size={size} aria-hidden>
        {initials}
      </Avatar>
    </Indicator>
  );
}

/** For people who cannot see the dot. Nothing where it is not known, or hidden. */
export const presenceText = ({ isOnline, lastSeen }: Person): string =>
  isOnline ? 'online' : lastSeen === undefined ? '' : 'offline';

/** Counts how often it may have become unknown who is online: whoever shows people asks for them again. */
export function usePresenceCount(): number {
  const chat = useChat();
  const [count, setCount] = useState(0);
  useEffect(() => chat.on('presence', () => setCount((known) => known + 1)), [chat]);
  return count;
}
