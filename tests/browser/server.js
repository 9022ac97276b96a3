// Runs the server on a free port. Its data directory is kept across restarts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

export const BINARY = process.env.STREAMGATE_BIN ?? path.resolve(import.meta.dirname, '../../target/debug/streamgate');
export const PASSWORD = 'password of the browser tests';
const START_DEADLINE_MS = 30_000;

// Returns a port that is free now. The port must be known before the first start, because every restart uses it.
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

export class Server {
  #process;
  #log = '';

  static async create(env = {}) {
    const server = new Server();
    server.port = await freePort();
    server.origin = `http://127.0.0.1:${server.port}`;
    server.dataDir = await mkdtemp(path.join(tmpdir(), 'streamgate-browser-'));
    // Settings in the caller's environment must not affect the tests.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STREAMGATE_'));
    server.env = { ...Object.fromEntries(inherited), STREAMGATE_ADMIN_PASSWORD: PASSWORD, ...env };
    await server.start();
    return server;
  }

  // Resolves when the server accepts connections.
  async start() {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data-dir', this.dataDir];
    this.#process = spawn(BINARY, args, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    const started = this.#process;
    started.stderr.on('data', (chunk) => (this.#log += chunk));
    const listening = new Promise((resolve, reject) => {
      readline.createInterface({ input: started.stdout }).on('line', (line) => {
        this.#log += `${line}\n`;
        if (line.includes(`listening on ${this.origin}`)) resolve();
      });
      started.once('error', reject);
      started.once('exit', (code, signal) => reject(new Error(`the server ended (${code ?? signal}):\n${this.#log}`)));
    });
    const deadline = setTimeout(() => started.kill('SIGKILL'), START_DEADLINE_MS);
    await listening.finally(() => clearTimeout(deadline));
  }

  // Resolves when the process has ended.
  async stop(signal) {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill(signal);
    await ended;
  }

  async destroy() {
    await this.stop('SIGKILL');
    await rm(this.dataDir, { recursive: true, force: true });
  }

  get log() {
    return this.#log;
  }

  // Sends a JSON request as the administrator. Returns the decoded response. Throws if the status is not `expected`.
  async call(method, target, body, expected) {
    const response = await fetch(this.origin + target, {
      method,
      headers: {
        ...(this.accessToken && { Authorization: `Bearer ${this.accessToken}` }),
        ...(body && { 'Content-Type': 'application/json' }),
      },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (response.status !== expected) throw new Error(`${method} ${target}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }

  async login() {
    const response = await this.call('POST', '/v1/auth/login', { username: 'admin', password: PASSWORD }, 200);
    this.accessToken = response.access_token;
  }

  // Creates a topology that accepts mutations.
  async activeTopology(name) {
    const { id } = await this.call('POST', '/v1/topologies', { name }, 201);
    for (const status of ['deploying', 'active']) {
      await this.call('POST', `/v1/topologies/${id}/status`, { status }, 200);
    }
    return id;
  }

  async enqueue(topology, payload = {}) {
    const target = `/v1/topologies/${topology}/mutations`;
    const { id } = await this.call('POST', target, { op: 'add_node', payload }, 202);
    return id;
  }

  // Returns the path of the topology's stream, with a stream token.
  async streamUrl(topology, options = { ttl_seconds: 300 }) {
    const body = { family: 'topology', id: topology, ...options };
    const { url } = await this.call('POST', '/v1/stream-tokens', body, 201);
    return url;
  }
}
