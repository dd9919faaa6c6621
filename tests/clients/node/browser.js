// Tests examples/web in Chromium, on another origin than Hallpass: browser.js BINARY FOLDER_OF_PAGES. Prints one line
// per check, which tests/clients/run counts.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check } from "./checks.js";
import { launchChromium } from "./chromium.js";
import { servePages, startHallpass } from "./serve.js";

const [binary, pages] = process.argv.slice(2);
const password = readFileSync(process.env.PASSWORD_FILE, "utf8").trim();
const folder = mkdtempSync(join(tmpdir(), "hallpass-browser-"));

const listed = await servePages(pages);
const foreign = await servePages(pages);
const hallpass = await startHallpass(binary, join(folder, "listed.db"), ["--cors-origin", listed]);
const open = await startHallpass(binary, join(folder, "open.db"), ["--cors-origin", "*"]);
const browser = await launchChromium();

/** The number of requests that Hallpass logged with this method for a procedure. */
function logged(server, method, procedure) {
  const wanted = `method=${method} path=/hallpass.v1.TokenService/${procedure} `;
  return server.log.filter((line) => line.includes(wanted)).length;
}

/** Waits until one more is logged: the log is written by a thread of its own, after the reply. */
async function oneMoreLogged(server, method, procedure, before) {
  const deadline = Date.now() + 10_000;
  while (logged(server, method, procedure) <= before && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Opens a page with an empty cache that calls this server with this protocol. */
async function openPage(origin, server, protocol) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  await page.goto(origin);
  await page.fill("#server", server.address);
  await page.selectOption("#protocol", protocol);
  return page;
}

/** Runs an action on the page and returns the message that the page shows. */
async function act(page, action) {
  await action();
  await page.waitForFunction(() => !["", "…"].includes(document.querySelector("#message").value));
  return page.inputValue("#message").catch(() => page.textContent("#message"));
}

async function signIn(page) {
  await page.fill("#password", password);
  return act(page, () => page.click("#sign-in button"));
}

async function create(page, note) {
  await page.fill("#note", note);
  return act(page, () => page.click("#create button"));
}

const notes = (page) => page.locator("#tokens tbody tr td:nth-child(2)").allTextContents();

async function session(protocol, method, type, timeoutHeader) {
  const page = await openPage(listed, hallpass, protocol);
  check(`${protocol}: signs in`, "Done.", await signIn(page));

  await create(page, "1");
  check(`${protocol}: shows the new token's text`, true, /^hallpass_\w+$/.test(await page.textContent("#created")));
  await create(page, "2");
  await create(page, "3");
  check(`${protocol}: shows a page of tokens`, ["the web example", "1"], await notes(page));
  await act(page, () => page.click("#more"));
  check(`${protocol}: shows the next page`, ["the web example", "1", "2", "3"], await notes(page));
  check(`${protocol}: knows the last page`, true, await page.isDisabled("#more"));

  // The page has listed tokens before, so there is no second preflight.
  const before = logged(hallpass, "OPTIONS", "ListTokens");
  const reading = page.waitForRequest((request) => request.url().includes("/ListTokens"));
  for (let i = 0; i < 5; i += 1) {
    await act(page, () => page.click("#refresh"));
  }
  check(`${protocol}: preflights are cached`, [true, 0], [
    before > 0,
    logged(hallpass, "OPTIONS", "ListTokens") - before,
  ]);
  const request = await reading;
  const headers = await request.allHeaders();
  check(`${protocol}: sends the expected read request`, [method, type, true], [
    request.method(),
    headers["content-type"],
    timeoutHeader in headers,
  ]);

  const said = await create(page, "x".repeat(1025));
  check(`${protocol}: reads an error's reason and field`, ["InvalidArgument (INVALID_FIELD)", "note"], [
    said.split(":")[0],
    said.split("\n")[1]?.split(" ")[0],
  ]);

  // Deleting the page's own token deletes its children.
  const row = page.locator("#tokens tbody tr", { hasText: "the web example" });
  check(`${protocol}: deletes a token`, "Done.", await act(page, () => row.getByRole("button").click()));
  const dead = await act(page, () => page.click("#refresh"));
  check(`${protocol}: is then unauthenticated`, "Unauthenticated (TOKEN_DELETED)", dead.split(":")[0]);
  await page.context().close();
}

async function gzip() {
  const page = await openPage(listed, hallpass, "Connect, JSON");
  await signIn(page);
  const replying = page.waitForResponse((reply) => reply.url().includes("/CreateToken"));
  await create(page, "x".repeat(1000));
  const headers = await (await replying).allHeaders();
  check("a long response is compressed with gzip", "gzip", headers["content-encoding"]);
  await page.context().close();
}

async function foreignOrigins() {
  const posts = logged(hallpass, "POST", "CreateToken");
  const preflights = logged(hallpass, "OPTIONS", "CreateToken");
  const page = await openPage(foreign, hallpass, "Connect, JSON");
  check("a foreign origin is refused by the browser", "Unknown: Failed to fetch", await signIn(page));
  await oneMoreLogged(hallpass, "OPTIONS", "CreateToken", preflights);
  check("it is refused after the preflight, before the password is sent", [1, 0], [
    logged(hallpass, "OPTIONS", "CreateToken") - preflights,
    logged(hallpass, "POST", "CreateToken") - posts,
  ]);
  await page.context().close();

  const guest = await openPage(foreign, open, "Connect, JSON");
  const said = await signIn(guest);
  check("with `*`, an unlisted origin may not send a password", "PermissionDenied (PERMISSION_DENIED)",
    said.split(":")[0]);
  await guest.context().close();
}

try {
  await session("Connect, JSON", "POST", "application/json", "connect-timeout-ms");
  await session("Connect, binary", "POST", "application/proto", "connect-timeout-ms");
  await session("Connect, reads by GET", "GET", undefined, "connect-timeout-ms");
  await session("gRPC-web", "POST", "application/grpc-web+proto", "grpc-timeout");
  await gzip();
  await foreignOrigins();
} finally {
  await browser.close();
  rmSync(folder, { recursive: true });
}
// The page servers would keep the process alive.
process.exit();
