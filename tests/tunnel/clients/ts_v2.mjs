// Uses an MCP endpoint with version 2 of the official TypeScript SDK:
//
//     node ts_v2.mjs URL TOKEN [legacy | modern]
//
// Without the third argument, the client asks for the modern era and falls back to the legacy one.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { answer, bearer, report } from './report.mjs';

const [url, token, era] = process.argv.slice(2);
const mode = { legacy: 'legacy', modern: { pin: '2026-07-28' } }[era] ?? 'auto';
const options = { capabilities: { elicitation: {} }, versionNegotiation: { mode } };
const client = new Client({ name: 'ts-2', version: '1.0.0' }, options);
client.setRequestHandler('elicitation/create', answer);
const transport = new StreamableHTTPClientTransport(new URL(url), bearer(token));
const call = (name, args, options) => client.callTool({ name, arguments: args }, options);
await report('ts-2', client, transport, call);
