// Runs the server on a free port, with an own data directory.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const BINARY = process.env.STREAMGATE_BIN ?? path.resolve(import.meta.dirname, '../../target/debug/streamgate');
const START_DEADLINE_MS = 30_000;

/** The password of the user `admin`. */
export const ADMIN_PASSWORD = 'password of the provider tests';

/**
 * Starts the server with these environment variables. Resolves when it accepts connections. With `keysOf`, it has the
 * keys of another gateway.
 */
export async function startGateway(env, { keysOf } = {}) {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'streamgate-providers-'));
  if (keysOf) await cp(path.join(keysOf.dataDir, 'keys'), path.join(dataDir, 'keys'), { recursive: true });
  // Settings in the caller's environment must not affect the tests.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STREAMGATE_'));
  const child = spawn(BINARY, ['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir], {
    env: { ...Object.fromEntries(inherited), STREAMGATE_ADMIN_PASSWORD: ADMIN_PASSWORD, ...env },
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
  const send = (method, resource, token, { body, ...more } = {}) => {
    const headers = { ...(token && { Authorization: `Bearer ${token}` }) };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    return fetch(`${origin}${resource}`, { method, headers, body: body && JSON.stringify(body), ...more });
  };
  return {
    origin,
    dataDir,
    /** Everything that the server has printed. */
    log: () => log,
    /** Sends a request with this access token. `more` are further options of `fetch`. */
    get: (resource, token, more) => send('GET', resource, token, more),
    post: (resource, token, body) => send('POST', resource, token, { body }),
    delete: (resource, token) => send('DELETE', resource, token),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
