// The conformance suite of the protocol, at the same MCP server directly and through a tunnel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIXTURE, Gateway, Program, conformance, freePort, until } from './support.js';

// The server closes its own HTTP stream in the middle of a call, and the client comes back. Through a tunnel the stream
// of the client stays open, because the closed one was between the server and the tunnel client.
const ONLY_DIRECT = ['server-sse-disconnect-resume'];

async function direct(t) {
  const port = await freePort();
  const server = new Program([...FIXTURE, '--http', String(port)]);
  t.after(() => server.stop());
  const url = `http://127.0.0.1:${port}/mcp`;
  await until('server', () => fetch(url).then(() => true, () => false));
  return url;
}

function assertNoneMissing(found, expected) {
  const rest = [...found];
  const missing = expected.filter((id) => {
    const at = rest.indexOf(id);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  assert.deepEqual(missing, []);
}

for (const version of ['2025-11-25', '2026-07-28']) {
  test(`suite of ${version} passes through a tunnel as it does directly`, { timeout: 400_000 }, async (t) => {
    const url = await direct(t);
    const expected = await conformance(t, url, version);
    assert.deepEqual(expected.failed, []);
    const gateway = await Gateway.start(t);
    await gateway.tunnel('stdio', '--', ...FIXTURE, '--stdio');
    await gateway.tunnel('http', '--http', url);
    for (const name of ['stdio', 'http']) {
      const { passed, failed } = await conformance(t, await gateway.withoutHeader(name), version);
      t.diagnostic(`${version} ${name}: ${passed.length} passed, directly ${expected.passed.length}`);
      assert.deepEqual(failed, []);
      assertNoneMissing(passed, expected.passed.filter((id) => !ONLY_DIRECT.includes(id)));
    }
  });
}
