// Each client reads one stream across restarts of the server.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Server } from '../browser/server.js';
import { Client } from './client.js';
import { CLIENTS } from './clients.js';

const TIMEOUT_MS = 180_000;
const SETTINGS = {
  STREAMGATE_STREAMS__RETRY_SECONDS: '1',
  STREAMGATE_STREAMS__HEARTBEAT_SECONDS: '1',
  // With one reactor, a stream that has been silent for longer than another one gets its heartbeat first.
  STREAMGATE_STREAMS__REACTOR_THREADS: '1',
};
// Maximum size of the data of a snapshot, and a payload of which many do not fit.
const MAX_DATA = 500_000;
const LARGE = { pad: 'x'.repeat(16_000) };

const isMutation = ({ event }) => event === 'mutation.enqueued';

// Waits until a stream that is opened now gets a heartbeat.
async function heartbeat(server, stream) {
  const closed = new AbortController();
  const headers = { Authorization: `Bearer ${server.accessToken}` };
  const response = await fetch(stream, { headers, signal: closed.signal });
  let seen = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    seen += chunk;
    if (/^:$/m.test(seen)) break;
  }
  closed.abort();
}

async function scenario(t, { command, prepare }) {
  const directory = await mkdtemp(path.join(tmpdir(), 'streamgate-clients-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const prepared = (await prepare?.(directory)) ?? [];
  const server = await Server.create(SETTINGS);
  t.after(() => server.destroy());
  await server.login();
  const topology = await server.activeTopology('watched');
  for (let i = 0; i < 40; i += 1) await server.enqueue(topology, LARGE);
  const stream = `${server.origin}/v1/topologies/${topology}/stream`;
  const client = new Client(command, stream, server.accessToken, prepared);
  t.after(() => client.stop());
  await client.until((messages) => messages.length > 0);
  await heartbeat(server, stream);

  const enqueued = [];
  const enqueue = async () => {
    for (let i = 0; i < 10; i += 1) enqueued.push(await server.enqueue(topology));
  };
  await enqueue();
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    // The events are acknowledged, but the server can stop before it delivers them.
    await server.stop(signal);
    await server.start();
    await enqueue();
    await client.until((messages) => messages.filter(isMutation).length >= enqueued.length);
  }
  await heartbeat(server, stream);
  await server.call('POST', `/v1/topologies/${topology}/status`, { status: 'degraded', reason: 'the end' }, 200);
  await client.until((messages) => messages.at(-1).event === 'status');

  // Each message is an event of the stream. A heartbeat or a line of its own would have no JSON as its data.
  const events = client.messages.map(({ event, data }) => ({ event, data: JSON.parse(data) }));
  const others = events.filter((event) => !isMutation(event)).map(({ event }) => event);
  // Only the clean end sends `stream.closed`.
  assert.deepEqual(others, ['snapshot', 'stream.closed', 'status'], client.description);
  const mutations = events.filter(isMutation).map(({ data }) => data.id);
  assert.deepEqual(mutations, enqueued, client.description);
  assert.equal(events[0].data.reset, undefined, 'the stream does not start over');
  const { length } = client.messages[0].data;
  assert.ok(length > MAX_DATA - 20_000 && length <= MAX_DATA, `a snapshot of ${length} bytes`);
  const ids = client.messages.filter(({ event }) => event !== 'stream.closed').map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'each event has its own cursor');
}

test('clients deliver each event once across SIGTERM and SIGKILL', { concurrency: 4, timeout: TIMEOUT_MS }, async (t) => {
  await Promise.all(CLIENTS.map((client) => t.test(client.name, (t) => scenario(t, client))));
});
