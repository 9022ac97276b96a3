// The steps that the clients of both versions of the TypeScript SDK have in common.

// A client that gets no answer fails after this time.
const DEADLINE_MS = 30_000;

export const answer = async () => ({ action: 'accept', content: { answer: 'Ada' } });

// The transport's options for the bearer token.
export const bearer = (token) => ({ requestInit: { headers: { Authorization: `Bearer ${token}` } } });

// The text of the result of a tool. Fails when the tool has failed.
function text({ isError, content }) {
  if (isError) throw new Error(`A tool has failed: ${JSON.stringify(content)}`);
  return content[0].text;
}

// Connects, takes the steps, and prints one line of JSON. `call(name, args, options)` calls a tool.
export async function report(name, client, transport, call) {
  const deadline = setTimeout(() => {
    console.error(`The client did not finish within ${DEADLINE_MS} ms.`);
    process.exit(1);
  }, DEADLINE_MS);
  await client.connect(transport);
  const version = transport.protocolVersion ?? transport._protocolVersion;
  const { tools } = await client.listTools();
  const echo = text(await call('echo', { text: 'hello' }));
  // Over HTTP+SSE, the SDK forgets a progress notification that comes in one chunk with the answer: it runs the handler of
  // a notification later, and removes it with the answer at once. So the messages of the transport count.
  const progress = [];
  const { onmessage } = transport;
  transport.onmessage = (message, extra) => {
    if (message.method === 'notifications/progress') progress.push(message.params.progress);
    onmessage(message, extra);
  };
  text(await call('slow', { steps: 3, delay_ms: 20 }, { onprogress() {} }));
  const asked = text(await call('ask', { question: 'name?' }));
  // `close` alone does not end the session at the server. The stream of HTTP+SSE is the session.
  await transport.terminateSession?.();
  await client.close();
  clearTimeout(deadline);
  const names = tools.map((tool) => tool.name);
  console.log(JSON.stringify({ client: name, version, tools: names, echo, progress, answer: asked }));
}
