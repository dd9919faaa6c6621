// Starts servers for pages, and Hallpass with given flags.

import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { extname, join } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** Serves a folder's files on a free port; returns its origin. */
export async function servePages(folder) {
  const files = new Set(await readdir(folder));
  const server = createServer((request, response) => {
    const name = request.url === "/" ? "index.html" : request.url.slice(1);
    if (!files.has(name)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[extname(name)] });
    createReadStream(join(folder, name)).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

/** Starts Hallpass on a new database; returns its address and its log. */
export async function startHallpass(binary, database, flags) {
  const args = ["serve", "--listen", "127.0.0.1:0", "--database-url", `sqlite:${database}`, ...flags];
  const env = { ...process.env, HALLPASS_ADMIN_PASSWORD_FILE: process.env.PASSWORD_FILE };
  const child = spawn(binary, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  process.on("exit", () => child.kill());
  const log = [];
  createInterface(child.stderr).on("line", (line) => log.push(line));
  const [line] = await once(createInterface(child.stdout), "line");
  return { address: line.replace("hallpass listening on ", ""), log };
}
