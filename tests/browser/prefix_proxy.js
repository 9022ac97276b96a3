// A proxy that serves the gateway below a path prefix and strips the prefix, as nginx does with
// `location /gate/ { proxy_pass http://gateway/; }`. The gateway does not learn the prefix.
import { once } from 'node:events';
import http from 'node:http';

const PREFIX = '/gate';

export class PrefixProxy {
  // The requests that did not start with the prefix.
  strays = [];
  #server = http.createServer((request, response) => this.#forward(request, response));

  static async create() {
    const proxy = new PrefixProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.origin = `http://127.0.0.1:${proxy.#server.address().port}`;
    proxy.base = proxy.origin + PREFIX;
    return proxy;
  }

  #forward(request, response) {
    if (!request.url.startsWith(`${PREFIX}/`)) {
      // The browser looks for an icon at the root of the host.
      if (request.url !== '/favicon.ico') this.strays.push(request.url);
      response.writeHead(404).end();
      return;
    }
    const { method, headers } = request;
    const forwarded = http.request(this.target + request.url.slice(PREFIX.length), { method, headers });
    forwarded.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
