// Swagger UI in a page: authorizes, and tries operations as a user does.

const OPERATION_DEADLINE_MS = 30_000;

export class SwaggerUi {
  // Requests to other origins, and errors of the page or of its requests.
  foreign = [];
  failures = [];

  // Opens the page of the gateway at this base URL.
  static async open(browser, base) {
    const ui = new SwaggerUi();
    ui.page = await browser.newPage();
    ui.page.setDefaultTimeout(OPERATION_DEADLINE_MS);
    const { origin } = new URL(base);
    ui.page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && !['data:', 'blob:'].includes(url.protocol)) ui.foreign.push(request.url());
    });
    ui.page.on('pageerror', (error) => ui.failures.push(error.message));
    ui.page.on('response', (response) => {
      if (response.status() >= 400) ui.failures.push(`${response.status()} ${response.url()}`);
    });
    await ui.page.goto(`${base}/docs`);
    return ui;
  }

  async authorize(accessToken) {
    await this.page.locator('.auth-wrapper .btn.authorize').click();
    const bearer = this.page.locator('.auth-container', { hasText: /http, bearer/i });
    await bearer.locator('input').fill(accessToken);
    await bearer.locator('button[type=submit]').click();
    await bearer.getByText('Authorized').waitFor();
    await bearer.locator('.btn-done').click();
  }

  // The panel of an operation.
  operation(id) {
    return this.page.locator(`.opblock-get[id$="-${id}"]`);
  }

  // Opens the form of an operation, enters the required parameters, and executes. Changes no other field.
  async execute(id, required) {
    const operation = this.operation(id);
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('.try-out__btn:not(.cancel)').click();
    for (const [name, value] of Object.entries(required)) {
      await operation.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    await operation.locator('.btn.execute').click();
  }

  // Waits for the response of an executed operation. Returns its status and its row.
  async response(id) {
    const row = this.operation(id).locator('.live-responses-table .response').first();
    const status = await row.locator('.response-col_status').innerText();
    return { status: Number.parseInt(status, 10), row };
  }

  // Closes the panel, because a large response slows down the page.
  async collapse(id) {
    await this.operation(id).locator('.opblock-summary-control').click();
  }
}
