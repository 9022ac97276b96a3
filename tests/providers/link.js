// Links an account like a user does: through the pages of the gateway, and the login and consent of the provider.

import assert from 'node:assert/strict';

import { Browser } from './browser.js';
import { PASSWORD } from './person.js';

/** Base URL of the gateway for browsers. They send its requests to the real address. */
export const PUBLIC_URL = 'http://gateway.test';

/** The redirect URI of the gateway at every provider. */
export const REDIRECT_URI = `${PUBLIC_URL}/v1/oauth/callback`;

// The state of every authorization, which is a secret until it is used.
const states = [];

/** The value of `state` in every authorization so far. */
export const usedStates = () => states;

/**
 * Links an account at a provider to a user. Returns the browser.
 *
 * - `name`: the name of the provider in the configuration.
 * - `url`: an authorization that has begun. Without it, one begins.
 */
export async function link(person, account, { name, url }) {
  url ??= (await person.post(`/v1/oauth/grants/${name}/authorize`, undefined, 201)).authorization_url;
  const browser = new Browser({ [PUBLIC_URL]: person.gateway.origin });
  await browser.open(url);
  assert.match(browser.text, /Log in to streamgate to link your account/);
  await browser.submit({ username: person.username, password: PASSWORD });
  assert(browser.text.includes(`<b>${person.username}</b>`), browser.text);
  assert(browser.url.startsWith(PUBLIC_URL), browser.url);
  // From here on, the pages are the provider's.
  await browser.submit();
  assert.match(browser.url, /\/interaction\//);
  await browser.submit({ login: account, password: 'any password' });
  assert.match(browser.url, /\/interaction\//);
  assert.match(browser.text, /name="prompt" value="consent"/);
  await browser.submit();
  assert(browser.url.startsWith(REDIRECT_URI), `${browser.url}\n${browser.text}`);
  assert.match(browser.text, /Account linked/);
  states.push(new URL(browser.url).searchParams.get('state'));
  return browser;
}
