import { Avatar, Indicator } from '@mantine/core';

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

/** For people who cannot see the dot. */
export const presenceText = (isOnline: boolean): string => (isOnline ? 'online' : 'offline');
