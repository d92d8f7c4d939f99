import { useChat, useChatState } from '@duet/client/react';
import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import { PasswordField } from './password-field.tsx';
import { useProvenForm } from './proven-form.ts';
import { Section } from './section.tsx';

interface AccountProps {
  onPasswordChanged: () => void;
  onDeleted: () => void;
}

/** The password, and the end of the account: one of them at a time, each in a form that is opened first. */
export function Account({ onPasswordChanged, onDeleted }: AccountProps) {
  const [open, setOpen] = useState<'password' | 'deletion'>();
  const [hasPassword, setHasPassword] = useState(true);
  /** What has come of it, for screen readers too. */
  const [outcome, setOutcome] = useState('');
  const heading = useRef<HTMLHeadingElement>(null);
  const change = useRef<HTMLButtonElement>(null);
  const remove = useRef<HTMLButtonElement>(null);
  /** Where one goes on when the form has gone. */
  const [goesOnAt, goOnAt] = useState<typeof heading | typeof change>();
  useEffect(() => goesOnAt?.current?.focus(), [goesOnAt]);

  const show = (form: typeof open) => {
    setOutcome('');
    goOnAt(undefined);
    setOpen(form);
  };
  const close = (next: typeof goesOnAt) => {
    setOpen(undefined);
    goOnAt(next);
  };
  const noPassword = () => {
    setHasPassword(false);
    setOutcome('You sign in with another application: your password and your account are managed there.');
    close(heading);
  };
  const changed = () => {
    setOutcome('Your password is changed. All other devices are signed out.');
    close(change);
    onPasswordChanged();
  };

  return (
    <Section title="Account" heading={heading}>
      {hasPassword && !open && (
        <Group>
          <Button ref={change} size="xs" variant="light" onClick={() => show('password')}>
            Change password
          </Button>
          <Button ref={remove} size="xs" variant="light" color="red" onClick={() => show('deletion')}>
            Delete account
          </Button>
        </Group>
      )}
      {open === 'password' && (
        <ChangePassword onDone={changed} onCancel={() => close(change)} onNoPassword={noPassword} />
      )}
      {open === 'deletion' && (
        <DeleteAccount onDone={onDeleted} onCancel={() => close(remove)} onNoPassword={noPassword} />
      )}
      <Text size="sm" c={hasPassword ? 'var(--live)' : 'dimmed'} role="status">
        {outcome}
      </Text>
    </Section>
  );
}

interface FormProps {
  onDone: () => void;
  onCancel: () => void;
  onNoPassword: () => void;
}

function ChangePassword({ onDone, onCancel, onNoPassword }: FormProps) {
  const { api } = useChat();
  const { form, ...state } = useProvenForm({
    initialValues: { currentPassword: '', newPassword: '' },
    proof: 'currentPassword',
    work: api.changePassword,
    onDone,
    onNoPassword,
  });
  return (
    <ProofForm {...state} label="Change password" does="Change password" onCancel={onCancel}>
      <PasswordField
        label="Current password"
        autoComplete="current-password"
        {...form.getInputProps('currentPassword')}
      />
      <PasswordField
        label="New password"
        description="At least 8 characters. You stay signed in here, and are signed out on all other devices."
        autoComplete="new-password"
        {...form.getInputProps('newPassword')}
      />
    </ProofForm>
  );
}

function DeleteAccount({ onDone, onCancel, onNoPassword }: FormProps) {
  const { api } = useChat();
  const { form, ...state } = useProvenForm({
    initialValues: { password: '' },
    proof: 'password',
    work: api.deleteAccount,
    onDone,
    onNoPassword,
  });
  return (
    <ProofForm {...state} label="Delete account" does="Delete my account" color="red.9" onCancel={onCancel}>
      <PasswordField
        label="Your password"
        description="This cannot be undone. What you have written stays with those who got it, without your name. What you have not sent is lost, and you are signed out on all devices."
        descriptionProps={{ fz: 'sm', lh: 'sm', c: 'var(--mantine-color-text)', mb: 'sm' }}
        inputWrapperOrder={['description', 'label', 'input', 'error']}
        autoComplete="current-password"
        {...form.getInputProps('password')}
      />
    </ProofForm>
  );
}

interface ProofFormProps extends Pick<ReturnType<typeof useProvenForm>, 'busy' | 'problem'> {
  label: string;
  /** What its button says. */
  does: string;
  color?: string;
  submit: (event: FormEvent<HTMLFormElement>) => void;
  onCancel: () => void;
  children: ReactNode;
}

function ProofForm({ label, does, color, submit, busy, problem, onCancel, children }: ProofFormProps) {
  const email = useChatState(({ me }) => me?.email);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.querySelector<HTMLElement>('input:not([hidden])')?.focus();
    form.current?.scrollIntoView({ block: 'nearest' });
  }, []);
  return (
    <form ref={form} className="proof" onSubmit={submit} noValidate aria-label={label}>
      <Stack gap="sm">
        {/* Tells a password manager whose password it is. */}
        <input hidden type="email" autoComplete="username" value={email ?? ''} readOnly />
        {children}
        {problem && (
          <Alert color="red" variant="light" role="alert">
            {problem}
          </Alert>
        )}
        <Group>
          <Button type="submit" loading={busy} {...(color ? { color } : {})}>
            {does}
          </Button>
          <Button variant="default" disabled={busy} onClick={onCancel}>
            Cancel
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
