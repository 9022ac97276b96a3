// Uses the documentation page in a browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch } from './chromium.js';
import { Server } from './server.js';

test('Swagger UI authorizes and executes without requests to other hosts', { timeout: 120_000 }, async (t) => {
  const server = await Server.create();
  t.after(() => server.destroy());
  const browser = await launch();
  t.after(() => browser.close());
  await server.login();

  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  const foreign = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== server.origin && !['data:', 'blob:'].includes(url.protocol)) foreign.push(request.url());
  });
  const failures = [];
  page.on('pageerror', (error) => failures.push(error.message));
  page.on('response', (response) => response.status() >= 400 && failures.push(`${response.status()} ${response.url()}`));

  await page.goto(`${server.origin}/docs`);
  await page.locator('.auth-wrapper .btn.authorize').click();
  const bearer = page.locator('.auth-container', { hasText: /http, bearer/i });
  await bearer.locator('input').fill(server.accessToken);
  await bearer.locator('button[type=submit]').click();
  await bearer.getByText('Authorized').waitFor();
  await bearer.locator('.btn-done').click();

  const operation = page.locator('.opblock-get', { has: page.locator('[data-path="/v1/auth/me"]') });
  await operation.locator('.opblock-summary-control').click();
  // With some settings, Swagger UI shows the form without this click.
  const tryOut = operation.locator('.try-out__btn:not(.cancel)');
  const execute = operation.locator('.btn.execute');
  await tryOut.or(execute).first().waitFor();
  if (await tryOut.isVisible()) await tryOut.click();
  await execute.click();
  const response = operation.locator('.live-responses-table .response').first();
  assert.match(await response.locator('.response-col_status').innerText(), /^200\b/);
  assert.match(await response.innerText(), /"username": "admin"/);

  assert.deepEqual(foreign, []);
  assert.deepEqual(failures, []);
});
