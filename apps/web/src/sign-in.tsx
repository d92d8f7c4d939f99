import type { Api, SignedIn } from '@duet/client';
import { Alert, Anchor, Button, Paper, Stack, Text, TextInput, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useEffect, useRef, useState } from 'react';
import { PasswordField } from './password-field.tsx';
import { deviceName } from './session.ts';

interface Problem {
  code: string;
  message: string;
  details?: { field: string; message: string }[];
}

/** In the order in which they are shown. */
const FIELDS = ['username', 'email', 'password'] as const;

interface SignInProps {
  api: Api;
  /** What has just happened; may be empty. */
  notice: string;
  /** Rejects where the browser does not keep it. */
  onSignedIn: (given: SignedIn) => Promise<void>;
}

/** One form for both: create an account, or sign in to it. */
export function SignIn({ api, notice, onSignedIn }: SignInProps) {
  const [isNew, setNew] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const form = useForm({ initialValues: { username: '', email: '', password: '' } });

  const noticed = useRef<HTMLDivElement>(null);
  useEffect(() => noticed.current?.focus(), []);

  const submit = form.onSubmit(async ({ username, email, password }) => {
    setBusy(true);
    setProblem('');
    const device = deviceName();
    try {
      const given = await (isNew
        ? api.register({ username, email, password, device })
        : api.login({ email, password, device }));
      await onSignedIn(given);
    } catch (error) {
      const { code, message, details } = error as Problem;
      for (const { field, message: text } of details ?? [])
        form.setFieldError(field, `${text[0]?.toUpperCase()}${text.slice(1)}`);
      if (!details) setProblem(message);
      setBusy(false);
      const bad = FIELDS.find((name) => details?.some(({ field }) => field === name));
      // Of a wrong email and a wrong password the server does not say which it is.
      form.getInputNode(bad ?? (code === 'INVALID_CREDENTIALS' ? 'password' : 'email'))?.focus();
    }
  });

  const turn = () => {
    setNew(!isNew);
    setProblem('');
    form.clearErrors();
  };

  return (
    <main className="sign-in">
      <Paper className="sign-in-card" shadow="md" radius="lg" p="xl">
        {notice && (
          <Alert ref={noticed} className="notice" color="indigo" variant="light" role="status" tabIndex={-1} mb="lg">
            {notice}
          </Alert>
        )}
        <img src="/icon.svg" alt="" width={52} height={52} />
        <Title order={1} size="h2" mt="sm">
          {isNew ? 'Create your account' : 'Welcome to Duet'}
        </Title>
        <Text c="dimmed" size="sm" mb="lg">
          {isNew ? 'A name, an email and a password: that is all.' : 'Sign in to go on chatting.'}
        </Text>
        <form onSubmit={submit} noValidate>
          <Stack gap="sm">
            {isNew && (
              <TextInput
                label="Username"
                autoComplete="nickname"
                required
                withAsterisk={false}
                {...form.getInputProps('username')}
              />
            )}
            <TextInput
              label="Email"
              type="email"
              // Whoever has just signed out goes on here, unless there is something to tell him.
              autoFocus={!notice}
              // The name under which a password manager keeps the password, in both forms.
              autoComplete="username"
              required
              withAsterisk={false}
              {...form.getInputProps('email')}
            />
            <PasswordField
              label="Password"
              {...(isNew ? { description: 'At least 8 characters' } : {})}
              autoComplete={isNew ? 'new-password' : 'current-password'}
              {...form.getInputProps('password')}
            />
            {problem && (
              <Alert color="red" variant="light" role="alert">
                {problem}
              </Alert>
            )}
            <Button type="submit" loading={busy} size="md" mt="xs" fullWidth>
              {isNew ? 'Create account' : 'Sign in'}
            </Button>
          </Stack>
        </form>
        <Text size="sm" ta="center" mt="md">
          {isNew ? 'You have one already? ' : 'New here? '}
          <Anchor component="button" type="button" onClick={turn}>
            {isNew ? 'Go to sign in' : 'Register'}
          </Anchor>
        </Text>
      </Paper>
    </main>
  );
}
