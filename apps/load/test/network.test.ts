import { available } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { createNetwork, lackOfNetwork } from '../src/torture/network.ts';

describe.skipIf(!available(lackOfNetwork()))('the network of fault runs', () => {
  test('T5 a rule counts its own packets alone, and is gone when it is disposed of', async () => {
    await using network = await createNetwork(['one', 'other'], 'one');
    const reject = ['-j', 'REJECT', '--reject-with', 'tcp-reset'];
    const met = await network.rule('one', ['INPUT', '-p', 'tcp', ...reject]);
    const unmet = await network.rule('one', ['INPUT', '-p', 'udp', '-j', 'DROP']);
    await expect(fetch(`http://${network.host('one').address}:8080`)).rejects.toThrow();
    expect(await met.packets()).toBeGreaterThan(0);
    expect(await unmet.packets()).toBe(0);
    await met[Symbol.asyncDispose]();
    expect(await met.packets()).toBeNaN();
    expect(await unmet.packets()).toBe(0);
  });
});
