// Tests an EventSource whose stream token expires while it is open.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from './chromium.js';
import { Server } from './server.js';

const DEADLINE_MS = 60_000;
const TEST = { timeout: 4 * DEADLINE_MS };
// The shortest lifetime that the gateway accepts, and a time after its end.
const TOKEN_SECONDS = 30;
const RESTART_AFTER_MS = 40_000;

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

test('EventSource resumes with an expired token after a restart', TEST, async (t) => {
  const server = await Server.create({ STREAMGATE_STREAMS__RETRY_SECONDS: '1' });
  t.after(() => server.destroy());
  await server.login();
  const topology = await server.activeTopology('watched');
  const url = await server.streamUrl(topology, { ttl_seconds: TOKEN_SECONDS });
  const opened = Date.now();
  const page = await browser.newPage();
  await page.goto(`${server.origin}/health/live`);
  await page.evaluate((url) => {
    window.source = new EventSource(url);
    window.seen = [];
    window.last = '';
    for (const kind of ['snapshot', 'mutation.enqueued', 'status', 'stream.closed']) {
      window.source.addEventListener(kind, ({ data, lastEventId }) => {
        window.seen.push({ kind, data: JSON.parse(data) });
        window.last = lastEventId;
      });
    }
  }, url);
  const until = (condition, argument) =>
    page.waitForFunction(condition, argument, { timeout: DEADLINE_MS, polling: 100 });
  const sawMutation = (id) => window.seen.some(({ data }) => data.id === id || data.mutation?.id === id);
  await until(() => window.seen.length > 0);

  // Only the passing of time makes a token expire.
  await sleep(RESTART_AFTER_MS - (Date.now() - opened));
  // An expired token opens no new stream.
  assert.equal((await fetch(server.origin + url)).status, 401);
  const enqueued = [await server.enqueue(topology)];
  await server.stop('SIGKILL');
  await server.start();
  enqueued.push(await server.enqueue(topology));
  await until(sawMutation, enqueued[1]);
  enqueued.push(await server.enqueue(topology));
  await until(sawMutation, enqueued[2]);
  const mutations = await page.evaluate(() =>
    window.seen.filter(({ kind }) => kind === 'mutation.enqueued').map(({ data }) => data.id));
  assert.deepEqual(mutations, enqueued, 'each mutation arrives once, in order');
  assert.equal(await page.evaluate(() => window.seen.filter(({ kind }) => kind === 'snapshot').length), 1);

  // The URL of a stream that has ended is worth nothing, even with the cursor.
  for (const status of ['tearing_down', 'torn_down']) {
    await server.call('POST', `/v1/topologies/${topology}/status`, { status }, 200);
  }
  await until(() => window.source.readyState === EventSource.CLOSED);
  const cursor = await page.evaluate(() => window.last);
  const leaked = await fetch(`${server.origin}${url}&last_event_id=${encodeURIComponent(cursor)}`);
  assert.equal(leaked.status, 401);
});
