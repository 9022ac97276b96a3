// Our tunnel client when something fails.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BINARY } from '../browser/server.js';
import { FIXTURE, Gateway, run, servers, until } from './support.js';

const TIMEOUT = { timeout: 120_000 };

// A command line that no other process has.
const fixture = (mark) => [...FIXTURE, '--stdio', '--mark', mark];
const running = (mark) => servers(`server.py\0--stdio\0--mark\0${mark}`);

test('kill of the tunnel client fails its calls at once and leaks no server', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  const mark = `killed-${gateway.server.port}`;
  const client = await gateway.tunnel('mine', '--', ...fixture(mark));
  const slow = gateway.call('mine', 'slow', { steps: 2, delay_ms: 60_000 });
  await until('call in flight', async () => {
    const metrics = await fetch(`${gateway.origin}/metrics`).then((response) => response.text());
    return /^streamgate_tunnel_requests_in_flight 1$/m.test(metrics);
  });
  const before = performance.now();
  await client.stop('SIGKILL');
  const { answer } = await slow;
  assert.equal(answer.error?.message ?? answer.detail, 'the tunnel client has disconnected');
  assert.ok(performance.now() - before < 5_000);
  await until('end of the server', async () => (await running(mark)).length === 0);
  assert.equal((await gateway.call('mine', 'echo', { text: 'a' })).status, 503);
  // A call that is ready to wait gets its answer from the client that is back, under the same name.
  const waiting = gateway.call('mine', 'echo', { text: 'back' }, { prefer: 'wait=30' });
  await gateway.tunnel('mine', '--', ...fixture(mark));
  assert.equal((await waiting).text, 'back');
});

test('client comes back after a kill of the gateway and keeps its server', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  await gateway.tunnel('mine', '--', ...fixture(`kept-${gateway.server.port}`));
  const { text: pid } = await gateway.call('mine', 'pid');
  const slow = gateway.call('mine', 'slow', { steps: 2, delay_ms: 60_000 });
  const failed = assert.rejects(slow);
  await gateway.server.stop('SIGKILL');
  await failed;
  await gateway.server.start();
  const back = await gateway.call('mine', 'pid', {}, { prefer: 'wait=30' });
  assert.equal(back.text, pid);
});

test('server that crashes is started again', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  await gateway.tunnel('mine', '--', ...fixture(`crashed-${gateway.server.port}`));
  const { text: pid } = await gateway.call('mine', 'pid');
  const { answer } = await gateway.call('mine', 'crash');
  assert.match(answer.error?.message ?? answer.detail, /disconnected/);
  const again = await gateway.call('mine', 'pid', {}, { prefer: 'wait=30' });
  assert.match(again.text, /^\d+$/);
  assert.notEqual(again.text, pid);
});

test('large answers pass, and too large ones are errors', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  const client = await gateway.tunnel('mine', '--', ...fixture(`large-${gateway.server.port}`));
  const large = await gateway.call('mine', 'large', { bytes: 3_000_000 });
  assert.equal(large.text.length, 3_000_000);
  const { answer } = await gateway.call('mine', 'large', { bytes: 6_000_000 });
  assert.match(answer.error.message, /the gateway accepts/);
  // The connection has survived both.
  assert.equal((await gateway.call('mine', 'echo', { text: 'x' })).text, 'x');
  assert.equal(client.log.match(/connected to the gateway/g).length, 1);
});

test('signal ends the client and its server', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  const mark = `ended-${gateway.server.port}`;
  const client = await gateway.tunnel('mine', '--', ...fixture(mark));
  assert.equal((await running(mark)).length, 1);
  assert.equal(await client.stop('SIGTERM'), 0);
  assert.deepEqual(await running(mark), []);
  const { items } = await gateway.server.call('GET', '/reverse-proxy/sessions', undefined, 200);
  assert.equal(items[0].disconnect_reason, 'client');
});

test('client that the gateway refuses says why and ends', TIMEOUT, async (t) => {
  const gateway = await Gateway.start(t);
  const flags = ['tunnel', '--url', gateway.origin, '--', 'cat'];
  const wrong = await run([BINARY, ...flags], { STREAMGATE_KEY: 'wrong' });
  assert.equal(wrong.status, 1);
  assert.match(wrong.output, /refuses this client: 401 Unauthorized: /);
  const none = await run([BINARY, ...flags], { STREAMGATE_KEY: undefined });
  assert.match(none.output, /set --key, or the environment variable STREAMGATE_KEY/);
});
