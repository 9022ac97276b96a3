// A certified OpenID provider (oidc-provider) on a port of the loopback interface, in this process.

import { createHash, generateKeyPair, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

import { Provider } from 'oidc-provider';

/** The resource (RFC 8707) that access tokens are for, and their audience. */
export const RESOURCE = 'https://streamgate.example.com';

/** A client that may use every grant, with a secret in the body of the request. */
export const CLIENT = {
  client_id: 'worker',
  client_secret: 'a secret of the tests',
  redirect_uris: ['https://client.example.com/callback'],
  grant_types: ['authorization_code', 'client_credentials', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_post',
};

/** Creates the set of signing keys of a provider. */
export async function newKeys() {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }] };
}

/**
 * Starts a provider. Without `pages`, every authorization request succeeds at once, as the user `login_hint`.
 *
 * - `pages`: whether a browser has to submit the provider's own login and consent pages. PKCE is then required, and access
 *   tokens are for the provider itself: `/me` accepts them.
 * - `port`: a port, or 0 for a free one. With the port and the keys of an earlier provider, it is the same issuer.
 * - `accessTokenTtl`: the lifetime of an access token in seconds.
 * - `rotateRefreshToken`: whether each refresh returns a new refresh token.
 * - `claims`: further claims of access tokens.
 */
export async function startProvider({
  port = 0,
  pages = false,
  keys,
  clients = [CLIENT],
  accessTokenTtl = 300,
  rotateRefreshToken = true,
  claims = { roles: ['staff'] },
} = {}) {
  const server = createServer();
  await listen(server, port);
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    jwks: keys ?? (await newKeys()),
    cookies: { keys: [randomUUID()] },
    // By default, an expired token is accepted for some seconds more.
    clockTolerance: 0,
    rotateRefreshToken,
    ttl: { AccessToken: accessTokenTtl, ClientCredentials: accessTokenTtl },
    extraTokenClaims: () => claims,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
    claims: { profile: ['preferred_username'] },
    pkce: { required: () => pages },
    // With pages, the rule of the library: a refresh token needs the scope `offline_access` and consent.
    ...(pages
      ? {}
      : {
          issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
          loadExistingGrant: grantEverything,
          interactions: { url: interactionUrl },
        }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: pages },
      resourceIndicators: {
        enabled: !pages,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          audience: RESOURCE,
          scope: 'streams',
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTokenTtl,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
      revocation: { enabled: true },
    },
  });
  const handle = provider.callback();
  let requests = 0;
  server.on('request', async (request, response) => {
    requests += 1;
    if (pages || !request.url.startsWith('/interaction/')) return handle(request, response);
    try {
      const { params } = await provider.interactionDetails(request, response);
      const login = { accountId: params.login_hint ?? 'ada' };
      await provider.interactionFinished(request, response, { login, consent: {} });
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  const { port: bound } = server.address();
  return {
    issuer,
    port: bound,
    /** The provider of the library, with its events and its storage. */
    provider,
    /** The number of requests so far. */
    requests: () => requests,
    /** Ends the listener and its connections. */
    stop: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    /** Listens again after `stop`, on the same port, with the same keys and the same storage. */
    restart: () => listen(server, bound),
  };
}

async function listen(server, port) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

const interactionUrl = (_, interaction) => `/interaction/${interaction.uid}`;

// Grants every scope that a client can request.
async function grantEverything({ oidc }) {
  const { client, provider, session } = oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid offline_access profile');
  grant.addResourceScope(RESOURCE, 'streams');
  await grant.save();
  return grant;
}

/** Requests tokens. Returns the body of the response. */
export async function token(provider, parameters, client = CLIENT) {
  const { client_id, client_secret } = client;
  const response = await fetch(`${provider.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({ client_id, client_secret, ...parameters }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
  return body;
}

/** Logs in as `user` with a scripted authorization code flow and PKCE (RFC 7636). Returns all tokens. */
export async function logIn(provider, user, client = CLIENT) {
  const verifier = randomBytes(32).toString('base64url');
  const [redirect_uri] = client.redirect_uris;
  const query = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri,
    response_type: 'code',
    scope: 'openid offline_access streams',
    prompt: 'consent',
    resource: RESOURCE,
    login_hint: user,
    nonce: randomUUID(),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const cookies = new Map();
  let url = `${provider.issuer}/auth?${query}`;
  while (!url.startsWith(redirect_uri)) {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { Cookie: cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (!location) throw new Error(`${response.status}: ${await response.text()}`);
    url = new URL(location, url).href;
  }
  const code = new URL(url).searchParams.get('code');
  if (!code) throw new Error(`no code: ${url}`);
  return token(provider, { grant_type: 'authorization_code', code, redirect_uri, code_verifier: verifier }, client);
}
