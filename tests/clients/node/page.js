// Tests the server's page at `/` in Chromium: page.js FOLDER SITE. Opens it at $HALLPASS, at SITE and below
// SITE/hallpass, and pastes what its buttons copy into a shell in FOLDER. Prints one line per check, which
// tests/clients/run counts.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "./checks.js";
import { launchChromium } from "./chromium.js";

const [folder, site] = process.argv.slice(2);
const { BINARY, HALLPASS, PASSWORD_FILE, TOKEN } = process.env;
const example = join(import.meta.dirname, "../../../examples/web");
const browser = await launchChromium();

/** Opens an address in a new browser context and records its errors. */
async function open(address, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.problems = [];
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("response", (reply) => reply.status() >= 400 && page.problems.push(`${reply.status()} ${reply.url()}`));
  await page.goto(address);
  return page;
}

/** Returns the page's links, and the failed responses to requests for them. */
async function follow(page) {
  const links = await page.locator("a").evaluateAll((all) => all.map((link) => link.href));
  const dead = [];
  for (const link of links) {
    const reply = await page.request.get(link);
    if (!reply.ok()) {
      dead.push(`${reply.status()} ${link}`);
    }
  }
  return [links, dead];
}

/** Presses every copy button and returns the copied texts. */
async function copyAll(page) {
  const copied = [];
  for (const button of await page.getByRole("button", { name: /^Copy / }).all()) {
    await button.focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction((element) => element.textContent === "Copied", await button.elementHandle());
    copied.push(await page.evaluate(() => navigator.clipboard.readText()));
  }
  return copied;
}

/** Returns a function that runs scripts in a new folder with the initial password file. */
function openShell() {
  const home = mkdtempSync(join(folder, "shell-"));
  copyFileSync(PASSWORD_FILE, join(home, "initial-admin-password"));
  symlinkSync(BINARY, join(home, "hallpass"));
  const env = { ...process.env, HOME: home, PATH: `${home}:${process.env.PATH}`, TOKEN: "" };
  return (script) => {
    const options = { cwd: home, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] };
    return execFileSync("bash", ["-euo", "pipefail", "-c", script], options);
  };
}

/** The number of days until a time. */
const days = (time) => Math.round((new Date(time) - Date.now()) / 86_400_000);

/** Bundles the snippet with the code that buf generates from the server's descriptor set, and calls its export. */
function callFromScript(snippet, base) {
  const gen = join(example, "src/gen");
  rmSync(join(gen, "hallpass"), { recursive: true });
  execFileSync("buf", ["generate", `${base}/proto/hallpass.binpb`], { cwd: example, stdio: "inherit" });
  const source = join(example, "src/pasted.ts");
  writeFileSync(source, `${snippet}\nconsole.log(await createToken("${TOKEN}", "by connect-web"));\n`);
  const bin = join(example, "node_modules/.bin");
  execFileSync(join(bin, "tsc"), ["--noEmit"], { cwd: example, stdio: "inherit" });
  const bundle = join(folder, "pasted.mjs");
  const options = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning", `--outfile=${bundle}`];
  execFileSync(join(bin, "esbuild"), [source, ...options], { stdio: "inherit" });
  return execFileSync("node", [bundle], { encoding: "utf8" }).trim();
}

async function works(name, base) {
  const page = await open(`${base}/`);
  await page.waitForFunction(() => document.querySelector("#state").textContent === "Ready");
  check(`${name}: it shows that the server is ready`, "ready", await page.getAttribute("#state", "data-state"));
  const display = await page.evaluate(() => getComputedStyle(document.querySelector(".call")).display);
  check(`${name}: its style sheet is loaded`, "grid", display);
  check(`${name}: its icon is loaded`, true, await page.evaluate(() => document.querySelector("img").naturalWidth > 0));
  const [links, dead] = await follow(page);
  const wanted = ["docs", "proto/", "proto/hallpass/v1/token.proto", "proto/hallpass.binpb"]
    .map((path) => `${base}/${path}`);
  check(`${name}: it links to docs and protobuf files`, [], wanted.filter((link) => !links.includes(link)));
  check(`${name}: no link is dead`, [], dead);

  const snippets = await copyAll(page);
  check(`${name}: each snippet has a copy button`, await page.locator("pre").count(), snippets.length);
  check(`${name}: there are no errors`, [], page.problems);
  await page.context().close();
  const [signIn, whoami, list, revoke, command, buf, script] = snippets;
  const shell = openShell();
  const said = shell([signIn, whoami, "echo", list, "echo", revoke].join("\n"));
  const [user, tokens] = said.split("\n").map((line) => line && JSON.parse(line));
  check(`${name}: curl: signs in, and the revoked token is refused`, ["admin", "{}"], [user.user.username, said.split("\n")[2]]);
  check(`${name}: curl: the token expires`, 90, days(tokens.tokens[0].expireTime));
  const made = shell(command).trim();
  const found = (token) => JSON.parse(shell(`hallpass token get ${token.split("_")[1]} --json`)).token;
  check(`${name}: hallpass: the token expires`, ["my script", 30], [found(made).note, days(found(made).expireTime)]);
  const byBuf = JSON.parse(shell(buf));
  check(`${name}: buf: the token expires`, ["by buf", 30], [byBuf.metadata.note, days(byBuf.metadata.expireTime)]);
  const byScript = found(callFromScript(script, base));
  check(`${name}: connect-web: the token expires`, ["by connect-web", 30], [byScript.note, days(byScript.expireTime)]);
  shell("hallpass logout");
}

async function worksWithoutJavaScript(name, base) {
  const page = await open(`${base}/`, { javaScriptEnabled: false });
  check(`${name}: it explains how to replace the address`, true, await page.locator("noscript p").isVisible());
  check(`${name}: it has no buttons without a function`, 0, await page.getByRole("button").count());
  const [links, dead] = await follow(page);
  check(`${name}: no link is dead`, [[], `${base}/readyz`], [dead, links[0]]);
  check(`${name}: there are no errors`, [], page.problems);
  await page.context().close();
}

/** nginx resolves `%2f..` and browsers do not, so whoever made the link controls the path that the page sees. */
async function keepsLinksOutOfShells() {
  const page = await open(`${site}/hallpass/$(touch%20made)'%2f../`);
  check("a crafted link: the page loads", "Ready", await page.textContent("#state:text('Ready')"));
  check("a crafted link: control: the address contains the command", true, page.url().includes("$(touch"));
  const snippets = await copyAll(page);
  check("a crafted link: no copied text contains the command", [], snippets.filter((text) => text.includes("$(touch")));
  await page.context().close();
}

/** Below a path, absolute links would leave the path. */
async function staysBelowItsPath() {
  const page = await open(`${site}/hallpass`);
  check("below a path: it is found without the trailing slash", `${site}/hallpass/`, page.url());
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#state").textContent === "Ready");
  check("below a path: it requests nothing outside of the path", [], asked.filter((path) => !path.startsWith("/hallpass/")));
  await page.context().close();
}

try {
  await works("by itself", HALLPASS);
  await works("behind TLS", site);
  await works("below a path", `${site}/hallpass`);
  await worksWithoutJavaScript("without JavaScript", HALLPASS);
  await worksWithoutJavaScript("without JavaScript, below a path", `${site}/hallpass`);
  await staysBelowItsPath();
  await keepsLinksOutOfShells();
} finally {
  await browser.close();
}
