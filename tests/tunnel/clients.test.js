// Real MCP clients at a tunnel: the SDKs of Python and TypeScript in both majors, that of Rust, and the MCP
// Inspector.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FIXTURE, Gateway, MODULES, Program, run } from './support.js';

const CLIENTS = path.join(import.meta.dirname, 'clients');
const python = (variable) => [process.env[variable] ?? 'python3', '-B', path.join(CLIENTS, 'python_client.py')];
const RMCP = process.env.TUNNEL_RMCP ?? 'rmcp-client';
const node = (file) => ['node', path.join(CLIENTS, file)];

// Each with the version that it must negotiate.
const PROGRAMS = [
  ['Python SDK 1', python('TUNNEL_PYTHON_1'), [], '2025-11-25'],
  ['Python SDK 1, HTTP+SSE', python('TUNNEL_PYTHON_1'), ['sse'], '2025-11-25'],
  ['Python SDK 2, legacy', python('TUNNEL_PYTHON'), ['legacy'], '2025-11-25'],
  ['Python SDK 2, modern', python('TUNNEL_PYTHON'), ['modern'], '2026-07-28'],
  ['TypeScript SDK 1', node('ts_v1.mjs'), [], '2025-11-25'],
  ['TypeScript SDK 1, HTTP+SSE', node('ts_v1.mjs'), ['sse'], '2025-11-25'],
  ['TypeScript SDK 2, legacy', node('ts_v2.mjs'), ['legacy'], '2025-11-25'],
  ['TypeScript SDK 2, modern', node('ts_v2.mjs'), ['modern'], '2026-07-28'],
  ['Rust SDK, legacy', [RMCP], ['legacy'], '2025-11-25'],
  ['Rust SDK, modern', [RMCP], ['modern'], '2026-07-28'],
];

async function check(gateway, name) {
  for (const [label, command, flags, version] of PROGRAMS) {
    const { status, output } = await run([...command, gateway.url(name), gateway.key, ...flags]);
    assert.equal(status, 0, `${label}: ${output}`);
    const report = JSON.parse(output.trim().split('\n').at(-1));
    assert.ok(report.tools.includes('echo'), `${label}: ${output}`);
    assert.deepEqual(
      { version: report.version, echo: report.echo, progress: report.progress, answer: report.answer },
      { version, echo: 'hello', progress: [1, 2, 3], answer: 'Ada' },
      label,
    );
  }
}

test('every SDK lists, calls, gets progress and is asked through our client', { timeout: 300_000 }, async (t) => {
  const gateway = await Gateway.start(t);
  await gateway.tunnel('fixture', '--', ...FIXTURE, '--stdio');
  await check(gateway, 'fixture');
  const inspector = path.join(MODULES, '.bin/mcp-inspector');
  const flags = ['--cli', gateway.url('fixture'), '--transport', 'http', '--header', `Authorization: Bearer ${gateway.key}`];
  const bin = { PATH: `${path.join(MODULES, '.bin')}:${process.env.PATH}` };
  const call = ['--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'text=hello'];
  const { status, output } = await run([inspector, ...flags, ...call], bin);
  assert.equal(status, 0, output);
  assert.match(output, /"text": ?"hello"/);
});

// It initializes its server itself, so the server is of the legacy era for every client.
test('every SDK works through the client of mcpgateway', { timeout: 300_000 }, async (t) => {
  const gateway = await Gateway.start(t);
  const directory = await mkdtemp(path.join(tmpdir(), 'streamgate-mcpgateway-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const secret = 'mQ8vR2xLw7Zt4KpN9sYc3FbHd6JgTe1A';
  const client = new Program(
    [
      process.env.TUNNEL_MCPGATEWAY ?? 'python3',
      '-m',
      'mcpgateway.reverse_proxy',
      '--local-stdio',
      [...FIXTURE, '--stdio'].join(' '),
      '--gateway',
      gateway.origin,
      '--token',
      gateway.key,
      '--keepalive',
      '30',
    ],
    {
      JWT_SECRET_KEY: secret,
      AUTH_ENCRYPTION_SECRET: secret,
      ENVIRONMENT: 'development',
      DATABASE_URL: `sqlite:///${directory}/x.db`,
      OTEL_SDK_DISABLED: 'true',
    },
  );
  t.after(() => client.stop());
  // The client sends no name, so the tunnel has that of the API key.
  const tunnel = await gateway.initialized('tests');
  assert.equal(tunnel.protocol_version, '2025-11-25');
  assert.match(tunnel.description, /server\.py/);
  await check(gateway, 'tests');
});
