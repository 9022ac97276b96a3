// Runs the examples of docs/browser.md: a stream token, a cookie, and fetch with a header; from the gateway's own origin
// and from another origin.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from './chromium.js';
import { PageServer } from './page_server.js';
import { PASSWORD, Server } from './server.js';

const DEADLINE_MS = 90_000;
const TEST = { timeout: 4 * DEADLINE_MS };
const GUIDE = path.resolve(import.meta.dirname, '../../docs/browser.md');
const WAYS = ['watchWithToken', 'watchWithCookie', 'watchWithFetch'];

let browser;
let examples;
before(async () => {
  browser = await launch();
  const guide = await readFile(GUIDE, 'utf8');
  examples = [...guide.matchAll(/^```js\n(?<code>.*?)^```$/gms)].map(({ groups }) => groups.code).join('\n');
  for (const way of WAYS) assert.ok(examples.includes(`function ${way}(`), `${way} is in the guide`);
});
after(() => browser?.close());

// Starts the gateway, and the pages of an allowed origin, of an origin that is not allowed, and of another site. All but
// the last one are of the same site, because a site has no port.
async function serve(t, env = {}) {
  const [allowed, foreign] = await Promise.all([PageServer.create(), PageServer.create()]);
  const otherSite = await PageServer.create('localhost');
  const server = await Server.create({
    STREAMGATE_STREAMS__RETRY_SECONDS: '1',
    STREAMGATE_LIMITS__STREAMS_PER_USER: '50',
    STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_USER: '100',
    STREAMGATE_SERVER__ALLOWED_ORIGINS: `${allowed.origin},${otherSite.origin}`,
    ...env,
  });
  t.after(async () => {
    await server.destroy();
    for (const page of [allowed, foreign, otherSite]) page.close();
  });
  await server.login();
  return { server, allowed, foreign, otherSite };
}

// Opens a page of this origin with the examples of the guide, and logs in. Each page has its own cookies.
async function open(server, origin, { cookie = true, login = true } = {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin === server.origin ? `${origin}/health/live` : origin);
  const gateway = origin === server.origin ? '' : server.origin;
  await page.addScriptTag({ content: `const gateway = ${JSON.stringify(gateway)};\n${examples}` });
  await page.evaluate(
    async ({ password, cookie, login }) => {
      window.seen = [];
      window.show = (kind, data) => window.seen.push({ kind, data });
      if (login) await window.login('admin', password);
      window.hasCookie = cookie && login && (await window.loginWithCookie('admin', password));
    },
    { password: PASSWORD, cookie, login },
  );
  return page;
}

const start = (page, way, topology) =>
  page.evaluate(({ way, topology }) => void window[way](topology, window.show), { way, topology });

async function until(page, server, condition, argument) {
  try {
    await page.waitForFunction(condition, argument, { timeout: DEADLINE_MS, polling: 100 });
  } catch (error) {
    const seen = await page.evaluate(() => window.seen);
    throw new Error(`${condition} (${argument})\n${JSON.stringify(seen)}\n${server.log}`, { cause: error });
  }
}

const saw = (kind) => window.seen.some((event) => event.kind === kind);
const sawMutation = (id) => window.seen.some(({ kind, data }) => kind === 'mutation.enqueued' && data.id === id);
const seenOf = (page, wanted) =>
  page.evaluate((wanted) => window.seen.filter(({ kind }) => kind === wanted).map(({ data }) => data), wanted);

// The pages of `origin` miss nothing while the gateway is killed and stopped.
async function surviveRestarts(server, origin) {
  const topology = await server.activeTopology('watched');
  const pages = await Promise.all(WAYS.map(() => open(server, origin)));
  await Promise.all(pages.map((page, index) => start(page, WAYS[index], topology)));
  for (const page of pages) await until(page, server, saw, 'snapshot');
  const enqueued = [await server.enqueue(topology)];
  for (const signal of ['SIGKILL', 'SIGTERM']) {
    // Acknowledged, but perhaps not delivered before the end.
    enqueued.push(await server.enqueue(topology));
    await server.stop(signal);
    await server.start();
    enqueued.push(await server.enqueue(topology));
    for (const page of pages) await until(page, server, sawMutation, enqueued.at(-1));
  }
  for (const [index, page] of pages.entries()) {
    const mutations = (await seenOf(page, 'mutation.enqueued')).map(({ id }) => id);
    assert.deepEqual(mutations, enqueued, `${WAYS[index]}: each mutation arrives once, in order`);
    assert.equal((await seenOf(page, 'snapshot')).length, 1, WAYS[index]);
  }
}

// The pages of `origin` learn that no slot is free.
async function readRefusals(server, origin) {
  const topology = await server.activeTopology(`one for ${origin}`);
  const held = new AbortController();
  const holder = await fetch(server.origin + (await server.streamUrl(topology)), { signal: held.signal });
  await holder.body.getReader().read();
  for (const way of WAYS) {
    const page = await open(server, origin);
    await start(page, way, topology);
    await until(page, server, saw, 'error');
    const [problem] = await seenOf(page, 'error');
    assert.equal(problem.status, 429, way);
    assert.equal(typeof problem.retry_after_seconds, 'number');
    await page.close();
  }
  held.abort();
}

test('each way survives a restart from the same origin', TEST, async (t) => {
  const { server } = await serve(t);
  await surviveRestarts(server, server.origin);
});

test('each way survives a restart from another origin', TEST, async (t) => {
  const { server, allowed } = await serve(t);
  await surviveRestarts(server, allowed.origin);
});

test('each way reads why it is refused from any origin', TEST, async (t) => {
  const { server, allowed } = await serve(t, { STREAMGATE_LIMITS__STREAMS_PER_USER: '1' });
  for (const origin of [server.origin, allowed.origin]) await readRefusals(server, origin);
});

// At the same time, because these tests mostly wait until a token or a session expires.
describe('with the passing of time', { concurrency: true }, () => {
  test('streams stay open through a refresh that each page makes in time', TEST, async (t) => {
    const lifetime = 60;
    const { server, allowed } = await serve(t, {
      STREAMGATE_TOKENS__LOGIN_SESSION_SECONDS: `${lifetime}`,
      // The notice comes after five seconds.
      STREAMGATE_STREAMS__EXPIRING_SECONDS: `${lifetime - 5}`,
    });
    // This client does not refresh, so its session ends.
    const { access_token: other } = await server.call(
      'POST', '/v1/auth/login', { username: 'admin', password: PASSWORD }, 200);
    const topology = await server.activeTopology('watched');
    const key = await server.call('POST', '/v1/api-keys', { name: 'publisher' }, 201);
    server.accessToken = key.key;
    const began = Date.now();
    const lost = await fetch(`${server.origin}/v1/topologies/${topology}/stream`, {
      headers: { authorization: `Bearer ${other}` },
    });
    const pages = [];
    for (const way of WAYS) {
      const page = await open(server, allowed.origin, { cookie: way === 'watchWithCookie' });
      await start(page, way, topology);
      await until(page, server, saw, 'stream.expiring');
      pages.push(page);
    }
    assert.match(await lost.text(), /stream\.expiring[^]*"reason":"session_expired"/);
    await sleep(began + (lifetime + 10) * 1000 - Date.now());
    const id = await server.enqueue(topology);
    for (const [index, page] of pages.entries()) {
      await until(page, server, sawMutation, id);
      assert.deepEqual(await seenOf(page, 'stream.closed'), [], WAYS[index]);
      assert.equal((await seenOf(page, 'snapshot')).length, 1, `${WAYS[index]} has not reconnected`);
    }
  });

  test('page mints another token after the expiry of the first', TEST, async (t) => {
    // No expired token resumes a stream here, and the log drops nothing.
    const { server, allowed } = await serve(t, {
      STREAMGATE_TOKENS__STREAM_SECONDS: '30',
      STREAMGATE_TOKENS__RESUME_SECONDS: '0',
    });
    const topology = await server.activeTopology('watched');
    const page = await open(server, allowed.origin, { cookie: false });
    await start(page, 'watchWithToken', topology);
    await until(page, server, saw, 'snapshot');
    await sleep(31_000);
    const enqueued = [await server.enqueue(topology)];
    await server.stop('SIGKILL');
    await server.start();
    enqueued.push(await server.enqueue(topology));
    await until(page, server, sawMutation, enqueued[1]);
    const [refused] = await seenOf(page, 'error');
    assert.equal(refused.status, 401);
    assert.deepEqual((await seenOf(page, 'mutation.enqueued')).map(({ id }) => id), enqueued);
    assert.equal((await seenOf(page, 'snapshot')).length, 1, 'the new token resumes after the cursor');
  });
});

test('page of the same site but another origin cannot use the cookie', TEST, async (t) => {
  const { server, foreign } = await serve(t);
  const topology = await server.activeTopology('watched');
  const page = await open(server, server.origin);
  assert.equal(await page.evaluate(() => window.hasCookie), true);
  assert.equal(await page.evaluate(() => document.cookie), '', 'no script can read the cookie');
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], ['streamgate', true, 'Lax']);
  // The browser sends the cookie with this request, because the port does not count for a site. The page cannot read the
  // response, but the request would have its effect.
  const evil = await page.context().newPage();
  await evil.goto(foreign.origin);
  const forged = await evil.evaluate(async (gateway) => {
    const attempt = (path, options) =>
      fetch(gateway + path, { credentials: 'include', ...options }).then((response) => response.type, () => 'blocked');
    return {
      forgedLogout: await attempt('/v1/auth/logout', { method: 'POST', mode: 'no-cors' }),
      forgedLogin: await attempt('/v1/auth/login', {
        method: 'POST',
        mode: 'no-cors',
        headers: { 'content-type': 'text/plain' },
        body: JSON.stringify({ username: 'admin', password: 'guess', cookie: true }),
      }),
      read: await attempt('/v1/auth/me', {}),
      preflight: await attempt('/v1/tasks', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
    };
  }, server.origin);
  assert.deepEqual(forged, { forgedLogout: 'opaque', forgedLogin: 'opaque', read: 'blocked', preflight: 'blocked' });
  assert.match(server.log, /path="?\/v1\/auth\/logout"?[^\n]* status=403|status=403[^\n]*\/v1\/auth\/logout/);
  const streams = await evil.evaluate(
    ({ gateway, topology }) =>
      new Promise((resolve) => {
        const source = new EventSource(`${gateway}/v1/topologies/${topology}/stream`, { withCredentials: true });
        source.onopen = () => resolve('open');
        source.onerror = () => resolve('refused');
      }),
    { gateway: server.origin, topology },
  );
  assert.equal(streams, 'refused');
  assert.equal(await page.evaluate(async () => (await fetch('/v1/auth/me')).status), 200, 'the session stands');
  // The page itself can log out.
  assert.equal(await page.evaluate(async () => (await fetch('/v1/auth/logout', { method: 'POST' })).status), 204);
  assert.deepEqual(await page.context().cookies(), []);
});

test('page of another site gets no cookie and uses a stream token', TEST, async (t) => {
  const { server, otherSite } = await serve(t);
  const topology = await server.activeTopology('watched');
  const page = await open(server, otherSite.origin);
  // The login was accepted, but the browser does not keep the cookie of another site.
  const me = (options) =>
    page.evaluate(
      async ({ gateway, options }) => (await fetch(`${gateway}/v1/auth/me`, options)).status,
      { gateway: server.origin, options },
    );
  assert.equal(await me({ credentials: 'include' }), 401);
  await start(page, 'watchWithToken', topology);
  await until(page, server, saw, 'snapshot');
});
