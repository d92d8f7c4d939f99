import type { DuetError } from '@duet/client';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { inTime } from './times.ts';

interface ProvenForm<Values> {
  initialValues: Values;
  /** The field with which the user shows who he is. */
  proof: keyof Values & string;
  work: (values: Values) => Promise<unknown>;
  onDone: () => void;
  /** He signs in with another application. */
  onNoPassword: () => void;
}

/** A form for what needs the user's password once more. What is wrong is said at its field, which gets the focus. */
export function useProvenForm<Values extends Record<string, string>>(given: ProvenForm<Values>) {
  const { initialValues, proof, work, onDone, onNoPassword } = given;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const form = useForm<Values>({ initialValues });

  /** @returns what is wrong with which fields; undefined when it is none of them */
  function faults({ code, details, retryAfterMs = 0 }: DuetError): [string, string][] | undefined {
    if (code === 'INVALID_CREDENTIALS') return [[proof, 'This is not your password']];
    if (code === 'RATE_LIMITED') return [[proof, `Too many tries. Try again ${inTime(retryAfterMs)}.`]];
    return details?.map(({ field, message }) => [field, `${message[0]?.toUpperCase()}${message.slice(1)}`]);
  }

  const submit = form.onSubmit(async (values) => {
    setBusy(true);
    setProblem('');
    try {
      await work(values);
      onDone();
    } catch (thrown) {
      const error = thrown as DuetError;
      setBusy(false);
      if (error.code === 'FORBIDDEN') return onNoPassword();
      const found = faults(error);
      for (const [field, text] of found ?? []) form.setFieldError(field, text);
      if (!found) setProblem(error.message);
      const bad = Object.keys(initialValues).find((name) => found?.some(([field]) => field === name));
      form.getInputNode(bad ?? proof)?.focus();
    }
  });
  return { form, submit, busy, problem };
}
