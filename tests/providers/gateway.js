// Runs the server on a free port, with an own data directory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const BINARY = process.env.STREAMGATE_BIN ?? path.resolve(import.meta.dirname, '../../target/debug/streamgate');
const START_DEADLINE_MS = 30_000;

/** Starts the server with these environment variables. Resolves when it accepts connections. */
export async function startGateway(env) {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'streamgate-providers-'));
  // Settings in the caller's environment must not affect the tests.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STREAMGATE_'));
  const child = spawn(BINARY, ['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir], {
    env: { ...Object.fromEntries(inherited), STREAMGATE_ADMIN_PASSWORD: 'password of the provider tests', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk) => (log += chunk));
  const listening = new Promise((resolve, reject) => {
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      log += `${line}\n`;
      const found = line.match(/listening on (http:\S+)/);
      if (found) resolve(found[1]);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`the server ended (${code ?? signal}):\n${log}`)));
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE_MS);
  const origin = await listening.finally(() => clearTimeout(deadline));
  return {
    origin,
    /** Everything that the server has printed. */
    log: () => log,
    /** Sends a request with this access token. */
    get: (resource, token) => fetch(`${origin}${resource}`, { headers: { Authorization: `Bearer ${token}` } }),
    post: (resource, token, body) =>
      fetch(`${origin}${resource}`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      }),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
