// Each client reads one stream across restarts of the server.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Server } from '../browser/server.js';
import { Client } from './client.js';
import { CLIENTS } from './clients.js';

const SETTINGS = {
  STREAMGATE_STREAMS__RETRY_SECONDS: '1',
  STREAMGATE_STREAMS__HEARTBEAT_SECONDS: '1',
  // With one reactor, a stream that is silent for longer than another one gets its heartbeat first.
  STREAMGATE_STREAMS__REACTOR_THREADS: '1',
};
const isMutation = ({ event }) => event === 'mutation.enqueued';

// Waits until a stream that is opened now gets a heartbeat.
async function heartbeat(server, topology) {
  const closed = new AbortController();
  const headers = { Authorization: `Bearer ${server.accessToken}` };
  const response = await fetch(`${server.origin}/v1/topologies/${topology}/stream`, { headers, signal: closed.signal });
  let seen = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    seen += chunk;
    if (/\n\n(:\n)+$/.test(seen)) break;
  }
  closed.abort();
}

describe('a client across restarts', { concurrency: 4 }, () => {
  for (const { name, command, prepare } of CLIENTS) {
    test(`${name} delivers each of 30 events once`, { timeout: 240_000 }, async (t) => {
      const directory = await mkdtemp(path.join(tmpdir(), 'streamgate-clients-'));
      t.after(() => rm(directory, { recursive: true, force: true }));
      const prepared = (await prepare?.(directory)) ?? [];
      const server = await Server.create(SETTINGS);
      t.after(() => server.destroy());
      await server.login();
      const topology = await server.activeTopology('watched');
      const stream = `${server.origin}/v1/topologies/${topology}/stream`;
      const client = new Client(command, stream, server.accessToken, prepared);
      t.after(() => client.stop());

      await client.until((messages) => messages.length > 0);
      await heartbeat(server, topology);

      const enqueued = [];
      const enqueue = async () => {
        for (let i = 0; i < 10; i += 1) enqueued.push(await server.enqueue(topology));
      };
      const all = (messages) => messages.filter(isMutation).length >= enqueued.length;
      await enqueue();
      for (const signal of ['SIGTERM', 'SIGKILL']) {
        // These events are acknowledged, but the server can stop before it delivers them.
        await server.stop(signal);
        await server.start();
        await enqueue();
        await client.until(all);
      }
      // Everything that a client delivers is an event of the stream: no heartbeat, and no line without an event.
      await heartbeat(server, topology);
      await server.call('POST', `/v1/topologies/${topology}/status`, { status: 'degraded', reason: 'the end' }, 200);
      await client.until((messages) => messages.at(-1).event === 'status');

      const { messages } = client;
      const events = messages.map(({ event, data }) => ({ event, data: JSON.parse(data) }));
      const others = events.filter((message) => !isMutation(message));
      // Only the clean end sends `stream.closed`.
      const kinds = others.map(({ event }) => event);
      assert.deepEqual(kinds, ['snapshot', 'stream.closed', 'status'], client.description);
      assert.ok(!others[0].data.reset, 'the stream does not start over');
      assert.deepEqual(events.filter(isMutation).map(({ data }) => data.id), enqueued, client.description);
      const ids = messages.filter(({ event }) => event !== 'stream.closed').map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length, 'each event has its own cursor');
    });
  }
});
