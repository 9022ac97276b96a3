// Uses an MCP endpoint with version 1 of the official TypeScript SDK: node ts_v1.mjs URL TOKEN [sse]
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { answer, bearer, report } from './report.mjs';

const [url, token, kind] = process.argv.slice(2);
const client = new Client({ name: 'ts-1', version: '1.0.0' }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, answer);
const transport =
  kind === 'sse'
    ? new SSEClientTransport(new URL(`${url}/sse`), bearer(token))
    : new StreamableHTTPClientTransport(new URL(url), bearer(token));
const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
await report('ts-1', client, transport, call);
