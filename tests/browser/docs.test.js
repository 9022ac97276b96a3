// Uses the documentation page in a browser, with data in the gateway.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './chromium.js';
import { PrefixProxy } from './prefix_proxy.js';
import { Server } from './server.js';
import { SwaggerUi } from './swagger_ui.js';

const PATIENCE = { timeout: 120_000 };
// A few operations of each kind, for the tests behind a prefix.
const SAMPLE = [
  '/health/live',
  '/v1/auth/me',
  '/v1/topologies',
  '/v1/topologies/{id}/events',
  '/v1/topologies/{id}/stream',
  '/v1/streams',
];

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

async function serve(t, env = {}) {
  // All operations run as one user, and all streams at the same time.
  const server = await Server.create({ STREAMGATE_LIMITS__STREAMS_PER_USER: '20', ...env });
  t.after(() => server.destroy());
  await server.login();
  return server;
}

// Serves below a path prefix.
async function serveBelowPrefix(t, envFor = () => ({})) {
  const proxy = await PrefixProxy.create();
  t.after(() => proxy.close());
  const server = await serve(t, envFor(proxy));
  proxy.target = server.origin;
  return { proxy, server };
}

// Creates a resource of each family. Returns the ids of a path, by the path's second part.
async function populate(server) {
  const topology = await server.activeTopology('demo');
  await server.enqueue(topology);
  const create = async (path, body) => (await server.call('POST', path, body, 201)).id;
  const session = await create('/v1/sessions', { name: 'demo' });
  const prompt = await create(`/v1/sessions/${session}/prompts`, { prompt: 'Why?' });
  const user = (await server.call('GET', '/v1/auth/me', undefined, 200)).id;
  await create(`/v1/users/${user}/notifications`, { kind: 'note', message: 'hello' });
  return {
    topologies: { id: topology },
    tasks: { id: await create('/v1/tasks', { task_type: 'demo' }) },
    sessions: { session_id: session, prompt_id: prompt },
    users: { id: user },
    'mcp-sessions': { id: await create('/v1/mcp-sessions', { name: 'demo' }) },
    'api-keys': { id: await create('/v1/api-keys', { name: 'demo' }) },
    // No authorization has this id, so the page says so.
    oauth: { request: user },
    streams: { topic: `topology.${topology}` },
  };
}

const isStream = ({ responses }) => responses['200'].content['text/event-stream'] !== undefined;

// Operations that need a tunnel client, a WebSocket or an MCP session. tests/tunnel uses them.
const WITHOUT_TUNNEL = ['/reverse-proxy/sessions', '/reverse-proxy/blocked-clients'];
const needsTunnel = (path) => /^(\/v1)?\/reverse-proxy|\/mcp\//.test(path) && !WITHOUT_TUNNEL.includes(path);

// Executes operations with GET in one page. Returns the status of each. The streams come last and run at the same time,
// so that no other request waits for one of the browser's connections.
async function executeInPage(ui, operations, ids) {
  const execute = ({ path, id, parameters }) => {
    const names = parameters.filter((parameter) => parameter.required).map(({ name }) => name);
    const known = ids[path.split('/')[2]];
    return ui.execute(id, Object.fromEntries(names.map((name) => [name, known[name]])));
  };
  const statuses = {};
  for (const operation of operations.filter((operation) => !isStream(operation))) {
    await execute(operation);
    statuses[operation.id] = (await ui.response(operation.id)).status;
    await ui.collapse(operation.id);
  }
  const streams = operations.filter(isStream);
  for (const stream of streams) await execute(stream);
  for (const { id } of streams) {
    const { status, row } = await ui.response(id);
    statuses[id] = status;
    assert.match(await row.innerText(), /event: snapshot/, id);
  }
  return statuses;
}

// Executes every operation with GET that `chosen` accepts, in two pages at the same time, and expects a success of each.
async function executeAll(base, server, chosen) {
  const ids = await populate(server);
  const document = await (await fetch(`${base}/openapi.json`)).json();
  const operations = Object.entries(document.paths)
    .filter(([path, item]) => item.get && chosen(path) && !needsTunnel(path))
    .map(([path, { get }]) => ({ path, id: get.operationId, parameters: get.parameters ?? [], responses: get.responses }));
  const uis = await Promise.all([SwaggerUi.open(browser, base), SwaggerUi.open(browser, base)]);
  const halves = uis.map(async (ui, half) => {
    await ui.authorize(server.accessToken);
    return executeInPage(ui, operations.filter((_, index) => index % uis.length === half), ids);
  });
  const statuses = Object.assign({}, ...(await Promise.all(halves)));
  for (const ui of uis) {
    assert.deepEqual(ui.foreign, []);
    assert.deepEqual(ui.failures, []);
  }
  assert.deepEqual(statuses, Object.fromEntries(operations.map(({ id }) => [id, 200])));
  return { ui: uis[0], ids, executed: operations.length, streams: operations.filter(isStream).length };
}

// Opens a stream in the page, and resolves with its first event.
function firstEvent(page, url) {
  return page.evaluate(
    (url) =>
      new Promise((resolve, reject) => {
        const source = new EventSource(url);
        source.addEventListener('snapshot', (event) => resolve(event.type) ?? source.close());
        source.addEventListener('error', () => reject(new Error('the stream was refused')) ?? source.close());
      }),
    url,
  );
}

test('Swagger UI executes every GET without a tunnel, and without a change of optional fields', PATIENCE, async (t) => {
  const server = await serve(t);
  const { executed, streams } = await executeAll(server.origin, server, () => true);
  assert.ok(executed > 30 && streams >= 6, `${executed}, ${streams}`);
});

test('Swagger UI and minted URLs work below a prefix', PATIENCE, async (t) => {
  const { proxy, server } = await serveBelowPrefix(t);
  const { ui, ids } = await executeAll(proxy.base, server, (path) => SAMPLE.includes(path));
  // Without a public URL, the page puts the path after the base URL that it uses.
  const url = await server.streamUrl(ids.topologies.id);
  assert.equal(await firstEvent(ui.page, proxy.base + url), 'snapshot');
  assert.deepEqual(proxy.strays, []);
});

test('Swagger UI and minted URLs use the public URL', PATIENCE, async (t) => {
  const { proxy, server } = await serveBelowPrefix(t, ({ base }) => ({ STREAMGATE_SERVER__PUBLIC_URL: `${base}/` }));
  const { ui, ids } = await executeAll(proxy.base, server, (path) => SAMPLE.includes(path));
  const url = await server.streamUrl(ids.topologies.id);
  assert.ok(url.startsWith(`${proxy.base}/v1/`), url);
  assert.equal(await firstEvent(ui.page, url), 'snapshot');
  assert.deepEqual(proxy.strays, []);
});
