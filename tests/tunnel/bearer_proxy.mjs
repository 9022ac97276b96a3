// A proxy that adds a bearer token, for programs that have no option for headers. Prints the port that it listens on.
//   node bearer_proxy.mjs TARGET_URL TOKEN
import http from "node:http";

const [target, token] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(target);

const server = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token}`, host: `${hostname}:${port}` };
  // A page of the proxy is one of the target.
  const own = `http://127.0.0.1:${server.address().port}`;
  if (headers.origin === own) headers.origin = `http://${hostname}:${port}`;
  // The path of the target takes the place of `/mcp`, also in the well-known paths.
  const path = request.url.replace("/mcp", pathname);
  const upstream = http.request({ hostname, port, path, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
  });
  upstream.on("error", () => response.destroy());
  // The end of the client is the end of the request.
  response.on("close", () => upstream.destroy());
  request.pipe(upstream);
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
