// Tests streams with the EventSource of a browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './chromium.js';
import { Server } from './server.js';

// Longer than a reconnection takes. The browser waits for the jittered `retry` of the server first.
const DEADLINE_MS = 90_000;
const TEST = { timeout: 4 * DEADLINE_MS };
const SHORT_RETRY = { STREAMGATE_STREAMS__RETRY_SECONDS: '1' };

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

// Opens a page of the server's origin with an EventSource on `url`, and records its events in `window.seen`.
async function watch(server, url) {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/health/live`);
  await page.evaluate((url) => {
    const source = new EventSource(url);
    window.source = source;
    window.seen = [];
    window.opened = 0;
    window.errors = 0;
    source.addEventListener('open', () => (window.opened += 1));
    const kinds = ['snapshot', 'status', 'mutation.enqueued', 'mutation.applying', 'mutation.applied', 'mutation.failed']
      .concat(['stream.dropped', 'stream.expiring', 'stream.closed', 'message', 'error']);
    for (const kind of kinds) {
      source.addEventListener(kind, ({ data, lastEventId }) => {
        // The browser creates an `error` without data when the connection is lost.
        if (data === undefined) window.errors += 1;
        else window.seen.push({ kind, data, id: lastEventId });
      });
    }
  }, url);
  return page;
}

// Waits until `condition` is true in the page. The error on a timeout contains the page's state and the server's log.
async function until(page, server, condition, argument) {
  try {
    await page.waitForFunction(condition, argument, { timeout: DEADLINE_MS, polling: 100 });
  } catch (error) {
    const state = await page.evaluate(() => ({ seen: window.seen, opened: window.opened, errors: window.errors }));
    throw new Error(`${condition} (${argument})\n${JSON.stringify(state)}\n${server.log}`, { cause: error });
  }
}

const openedTimes = (n) => window.opened >= n;
const sawMutation = (id) => window.seen.some(({ kind, data }) => kind === 'mutation.enqueued' && data.includes(id));

test('EventSource receives each event once across SIGKILL and SIGTERM', TEST, async (t) => {
  const server = await Server.create({ ...SHORT_RETRY, STREAMGATE_LIMITS__REQUESTS_PER_MINUTE: '100000' });
  t.after(() => server.destroy());
  await server.login();
  const topology = await server.activeTopology('watched');
  const page = await watch(server, await server.streamUrl(topology));
  await until(page, server, () => window.seen.some(({ kind }) => kind === 'snapshot'));

  const enqueued = [];
  const enqueue = async (count) => {
    for (let i = 0; i < count; i += 1) enqueued.push(await server.enqueue(topology));
  };
  await enqueue(5);
  await until(page, server, sawMutation, enqueued.at(-1));

  for (const [restart, signal] of ['SIGKILL', 'SIGTERM', 'SIGKILL'].entries()) {
    // These mutations are acknowledged, but the server can stop before it delivers their events.
    await enqueue(5);
    await server.stop(signal);
    await server.start();
    // The browser has most likely not reconnected yet, so these events come from the log.
    await enqueue(5);
    await until(page, server, openedTimes, restart + 2);
    // The browser is connected, so these events are delivered live.
    await enqueue(5);
    await until(page, server, sawMutation, enqueued.at(-1));
  }
  await server.call('POST', `/v1/topologies/${topology}/status`, { status: 'degraded', reason: 'a test' }, 200);
  await until(page, server, () => window.seen.at(-1)?.kind === 'status');

  const { seen, opened, readyState } = await page.evaluate(() => ({
    seen: window.seen,
    opened: window.opened,
    readyState: window.source.readyState,
  }));
  assert.equal(readyState, 1, 'the stream is open');
  assert.equal(opened, 4, 'opened once, and once after each restart');

  const snapshots = seen.filter(({ kind }) => kind === 'snapshot');
  assert.equal(snapshots.length, 1, 'a resumed stream has no second snapshot');
  assert.equal(JSON.parse(snapshots[0].data).reset ?? null, null, 'the snapshot has no reset reason');
  assert.deepEqual(seen.filter(({ kind }) => ['stream.dropped', 'message', 'error'].includes(kind)), []);

  const mutations = seen.filter(({ kind }) => kind === 'mutation.enqueued').map(({ data }) => JSON.parse(data).id);
  assert.deepEqual(mutations, enqueued, 'each mutation arrives once, in order');

  // Only the graceful stop sends `stream.closed`.
  const closeReasons = seen.filter(({ kind }) => kind === 'stream.closed').map(({ data }) => JSON.parse(data).reason);
  assert.deepEqual(closeReasons, ['shutdown']);

  // The cursors of all events have one epoch and consecutive numbers.
  const cursors = seen
    .filter(({ kind }) => !kind.startsWith('stream.'))
    .map(({ id }) => /^(?<epoch>[0-9a-f]+)-(?<seq>\d+)-[0-9a-f]+$/.exec(id).groups);
  assert.equal(new Set(cursors.map(({ epoch }) => epoch)).size, 1);
  const first = Number(cursors[0].seq);
  assert.deepEqual(cursors.map(({ seq }) => Number(seq)), cursors.map((_, i) => first + i));
});

test('EventSource stops after the end of its topology or session', TEST, async (t) => {
  const server = await Server.create(SHORT_RETRY);
  t.after(() => server.destroy());
  await server.login();
  const end = [
    async (topology) => {
      for (const status of ['tearing_down', 'torn_down']) {
        await server.call('POST', `/v1/topologies/${topology}/status`, { status }, 200);
      }
      return { reason: 'completed', opened: 1 };
    },
    async () => {
      await server.call('POST', '/v1/auth/logout', undefined, 204);
      return { reason: 'session_revoked', opened: 1 };
    },
  ];
  for (const ends of end) {
    const topology = await server.activeTopology(`to be ended ${end.indexOf(ends)}`);
    const page = await watch(server, await server.streamUrl(topology));
    await until(page, server, () => window.seen.some(({ kind }) => kind === 'snapshot'));
    const expected = await ends(topology);
    // The response to the reconnection is 204 or 401, which ends the EventSource.
    await until(page, server, () => window.source.readyState === 2);
    const { seen, opened } = await page.evaluate(() => ({ seen: window.seen, opened: window.opened }));
    assert.equal(seen.at(-1).kind, 'stream.closed');
    assert.deepEqual({ reason: JSON.parse(seen.at(-1).data).reason, opened }, expected);
    await page.close();
  }
});

test('refused EventSource closes, and reads the problem with on_refusal=event', TEST, async (t) => {
  const server = await Server.create({ STREAMGATE_LIMITS__STREAMS_PER_USER: '1' });
  t.after(() => server.destroy());
  await server.login();
  const topology = await server.activeTopology('one');
  const other = await server.activeTopology('other');
  const own = await server.streamUrl(topology);
  const { id: absent } = await server.call('GET', '/v1/auth/me', undefined, 200);

  // Takes the only slot, so that the browser gets 429. Node opens this stream, because a browser has few connections
  // per origin.
  const held = new AbortController();
  t.after(() => held.abort());
  const holder = await fetch(server.origin + own, { signal: held.signal });
  assert.equal(holder.status, 200);
  await holder.body.getReader().read();

  const refusals = [
    [401, own.replace(/stream_token=[^&]+/, 'stream_token=forged')],
    // The token of one topology, on the stream of another topology and of an id that does not exist.
    [403, own.replace(topology, other)],
    [403, own.replace(topology, absent)],
    [429, own],
  ];
  for (const [status, url] of refusals) {
    assert.equal((await fetch(server.origin + url)).status, status, url);

    const closed = await watch(server, url);
    await until(closed, server, () => window.source.readyState === 2);
    const { seen, opened } = await closed.evaluate(() => ({ seen: window.seen, opened: window.opened }));
    assert.deepEqual({ seen, opened }, { seen: [], opened: 0 });
    await closed.close();

    const reading = await watch(server, `${url}&on_refusal=event`);
    await until(reading, server, () => window.seen.length > 0);
    const [{ kind, data }] = await reading.evaluate(() => window.seen);
    assert.equal(kind, 'error');
    const problem = JSON.parse(data);
    assert.equal(problem.status, status);
    assert.match(problem.type, /^https?:\/\/.+/);
    assert.equal(typeof problem.title, 'string');
    await reading.close();
  }
});
