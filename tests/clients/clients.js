// The clients under test: how to start each of them. A client is a small program that gets the URL of a stream and an
// access token, and prints each message that it delivers as a line of JSON.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { createClient } from '@hey-api/openapi-ts';
import { BINARY } from '../browser/server.js';

const run = promisify(execFile);
const PROGRAMS = path.join(import.meta.dirname, 'programs');
const node = (name) => ({ name, command: [process.execPath, path.join(PROGRAMS, `${name}.js`)] });
const python = (name) => ({ name, command: [process.env.CLIENTS_PYTHON, path.join(PROGRAMS, `${name}.py`)] });

export const CLIENTS = [
  node('eventsource'),
  node('eventsource-client'),
  node('fetch-event-source'),
  { ...node('hey-api'), prepare: generate },
  python('httpx-sse'),
  python('sseclient-py'),
  { name: 'reqwest-eventsource', command: [process.env.CLIENTS_REQWEST_EVENTSOURCE] },
];

// Generates a client from the document of the binary under test. Returns the path of the client as one module.
async function generate(directory) {
  const document = path.join(directory, 'openapi.json');
  const output = path.join(directory, 'client');
  await mkdir(directory, { recursive: true });
  await writeFile(document, (await run(BINARY, ['openapi'], { maxBuffer: 64 << 20 })).stdout);
  await createClient({ input: document, output, logs: { level: 'silent' } });
  const outfile = path.join(directory, 'client.js');
  await build({ entryPoints: [path.join(output, 'index.ts')], outfile, bundle: true, format: 'esm', logLevel: 'error' });
  return [outfile];
}
