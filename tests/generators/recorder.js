// A proxy between a generated client and the server. It records what the client sends.
import { once } from 'node:events';
import http from 'node:http';
import { pipeline } from 'node:stream';

export class Recorder {
  #proxy;
  requests = [];

  static async create(server) {
    const recorder = new Recorder();
    recorder.#proxy = http.createServer((received, answer) => {
      const { method, url, headers } = received;
      recorder.requests.push({ method, url, authorization: headers.authorization });
      const options = { host: '127.0.0.1', port: server.port, method, path: url, headers };
      const forwarded = http.request(options, (response) => {
        answer.writeHead(response.statusCode, response.rawHeaders);
        // A stream has its first bytes before its first event.
        answer.flushHeaders();
        pipeline(response, answer, () => {});
      });
      forwarded.on('error', () => answer.destroy());
      answer.on('close', () => forwarded.destroy());
      received.pipe(forwarded);
    });
    recorder.#proxy.listen(0, '127.0.0.1');
    await once(recorder.#proxy, 'listening');
    recorder.origin = `http://127.0.0.1:${recorder.#proxy.address().port}`;
    return recorder;
  }

  close() {
    this.#proxy.closeAllConnections();
    this.#proxy.close();
  }
}
