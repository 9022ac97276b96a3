// Serves an empty page on its own port, which makes it a page of another origin.
import { once } from 'node:events';
import { createServer } from 'node:http';

export class PageServer {
  static async create(host = '127.0.0.1') {
    const server = new PageServer();
    server.listener = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>page</title>');
    });
    server.listener.listen(0, host);
    await once(server.listener, 'listening');
    server.origin = `http://${host}:${server.listener.address().port}`;
    return server;
  }

  close() {
    this.listener.closeAllConnections();
    this.listener.close();
  }
}
