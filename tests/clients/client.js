// A running client, and the messages that it has delivered.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import readline from 'node:readline';

// Longer than a reconnection takes.
const DEADLINE_MS = 60_000;

export class Client {
  #process;
  #error = '';
  #changed = [];
  messages = [];

  constructor([program, ...given], url, token, prepared) {
    this.#process = spawn(program, [...given, url, token, ...prepared], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process.stderr.on('data', (chunk) => (this.#error += chunk));
    readline.createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.messages.push(JSON.parse(line));
      this.#wake();
    });
    this.#process.once('exit', () => this.#wake());
    this.#process.once('error', (error) => {
      this.#error += error;
      this.#wake();
    });
  }

  // Resolves when the messages fulfil the condition.
  async until(condition) {
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, DEADLINE_MS);
    try {
      while (!condition(this.messages)) {
        if (isLate || this.#hasEnded) throw new Error(`${condition}\n${this.description}`);
        await new Promise((resolve) => this.#changed.push(resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  get description() {
    const shorten = ({ id, event, data }) => `${id} ${event} ${String(data).slice(0, 80)}`;
    return `${this.messages.map(shorten).join('\n')}\n${this.#error}`;
  }

  async stop() {
    if (this.#hasEnded) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  get #hasEnded() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null || !this.#process.pid;
  }

  #wake() {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}
