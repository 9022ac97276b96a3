// Each tool generates a client from `openapi/openapi.json`. A program uses the client against the server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Server } from '../browser/server.js';
import { Recorder } from './recorder.js';
import { TOOLS } from './tools.js';

const TIMEOUT_MS = 300_000;
const SETTINGS = {
  // The second login of a program gets 429.
  STREAMGATE_LIMITS__LOGINS_PER_MINUTE_PER_USER: '1',
  // A program asks repeatedly whether its stream is open.
  STREAMGATE_LIMITS__REQUESTS_PER_MINUTE: '1000000',
};
const DOCUMENT = path.resolve(import.meta.dirname, '../../openapi/openapi.json');
const GENERATED = path.join(import.meta.dirname, 'generated');

// Runs a program. Returns both of its outputs. Throws if it fails.
const execute = promisify(execFile);
async function run(command, ...args) {
  const options = { cwd: import.meta.dirname, timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 };
  try {
    return await execute(command, args, options);
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}`);
  }
}

const document = JSON.parse(await readFile(DOCUMENT, 'utf8'));
const operations = Object.values(document.paths)
  .flatMap((methods) => Object.values(methods))
  .map(({ operationId }) => operationId);

async function scenario(t, tool) {
  const directory = path.join(GENERATED, tool.name);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  // TypeScript programs are compiled to CommonJS, because the clients import each other without file extensions.
  await writeFile(path.join(directory, 'package.json'), '{"type":"commonjs"}');
  if (tool.program) {
    const program = `program${path.extname(tool.program)}`;
    await cp(path.join(import.meta.dirname, 'programs', tool.program), path.join(directory, program));
  }

  const output = await tool.generate(run, DOCUMENT, directory);
  assert.doesNotMatch(output, /warn|error|unable|cannot|skip|deprecated/i, 'the tool prints no warning');
  const generated = await tool.operations(run, directory);
  assert.deepEqual(
    operations.filter((operation) => !generated.has(tool.nameOf(operation))),
    [],
    'each operation is generated',
  );
  await tool.compile(run, directory);

  const server = await Server.create(SETTINGS);
  t.after(() => server.destroy());
  const recorder = await Recorder.create(server);
  t.after(() => recorder.close());
  const [command, ...args] = tool.command(directory);
  const { stdout } = await run(command, ...args, recorder.origin, server.env.STREAMGATE_ADMIN_PASSWORD);
  const result = JSON.parse(stdout);

  assert.equal(result.published.length, 10);
  assert.deepEqual(result.received, result.published);
  assert.match(result.url, /[?&]stream_token=/);
  const problem = (name) => `https://streamgate.dev/problems/${name}`;
  assert.deepEqual(result.problems, [
    { status: 404, type: problem('not-found') },
    { status: 429, type: problem('too-many-requests') },
  ]);

  const token = result.access_token;
  assert.match(token, /^ey/);
  const { requests } = recorder;
  assert.deepEqual(
    requests.filter(({ url }) => url.includes(token) || url.includes('stream_token=')),
    [],
    'no token is in a URL',
  );
  const streams = requests.filter(({ url }) => /\/stream(\?|$)/.test(url));
  assert.equal(streams.length, 1);
  assert.equal(streams[0].authorization, `Bearer ${token}`);
}

// A third tool at the same time would only wait for a processor.
test('generated clients work against the server', { concurrency: 2, timeout: TIMEOUT_MS }, async (t) => {
  await Promise.all(TOOLS.map((tool) => t.test(tool.name, (t) => scenario(t, tool))));
});
