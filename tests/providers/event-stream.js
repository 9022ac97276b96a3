// A stream of server-sent events that stays open.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';

export class EventStream {
  #arrived = new EventEmitter();
  #connection = new AbortController();
  #end;
  #events = [];

  /** Opens a stream. Resolves when its first event, the snapshot, has arrived. */
  static async open(gateway, resource, token) {
    const stream = new EventStream();
    const response = await gateway.get(resource, token, { signal: stream.#connection.signal });
    assert.equal(response.status, 200, await (response.ok ? '' : response.text()));
    stream.#read(response.body);
    assert.equal((await stream.next(10_000)).event, 'snapshot');
    return stream;
  }

  /** The next event, as soon as it has arrived. */
  async next(deadlineMs) {
    const signal = AbortSignal.timeout(deadlineMs);
    while (this.#events.length === 0) {
      assert(!this.#end, this.#end);
      await once(this.#arrived, 'change', { signal });
    }
    return this.#events.shift();
  }

  /** Closes the connection. */
  close() {
    this.#connection.abort();
  }

  async #read(body) {
    let text = '';
    try {
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        const blocks = `${text}${chunk}`.split('\n\n');
        text = blocks.pop();
        this.#events.push(...blocks.map(parse).filter(({ data }) => data !== undefined));
        this.#arrived.emit('change');
      }
      this.#end = new Error('the server has ended the stream');
    } catch (error) {
      this.#end = error;
    }
    this.#arrived.emit('change');
  }
}

function parse(block) {
  const event = {};
  for (const line of block.split('\n')) {
    const [, name, value] = line.match(/^(\w*): ?(.*)$/) ?? [];
    if (name) event[name] = name === 'data' ? JSON.parse(value) : value;
  }
  return event;
}
