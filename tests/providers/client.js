// The gateway as a client of providers: its registration, its configuration and its credential.

import { REDIRECT_URI } from './link.js';

// RFC 6749 encodes the parts of a Basic credential as a form, so the secret has characters that this changes.
const SECRET = 'secret of the grants: 50% + more/?&=';

/** The gateway as a client of the providers. */
export const CLIENT = {
  client_id: 'streamgate:grants',
  client_secret: SECRET,
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_basic',
};

/** The setting `oauth.providers` for these providers, by name. */
export function settings(providers) {
  return JSON.stringify(
    Object.entries(providers).map(([name, { issuer }]) => ({
      name,
      issuer,
      client_id: CLIENT.client_id,
      client_secret: SECRET,
      scopes: ['openid', 'profile', 'offline_access'],
      token_users: ['role:agent'],
      private_network: true,
    })),
  );
}

/** The Basic credential of the client (RFC 6749, section 2.3.1). */
export function basic() {
  const encode = (text) => new URLSearchParams({ text }).toString().slice('text='.length);
  return btoa(`${encode(CLIENT.client_id)}:${encode(SECRET)}`);
}

/** Uses an access token at a provider (OpenID Connect Core, section 5.3). Returns the status and the claims. */
export async function userinfo({ issuer }, token) {
  const response = await fetch(`${issuer}/me`, { headers: { Authorization: `Bearer ${token}` } });
  return { status: response.status, ...(response.ok && (await response.json())) };
}
