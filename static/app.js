// @ts-check
// The page works without this script, which adds the address of this server as the browser sees it, whether the
// server is ready, and copy buttons.
import { copyButton } from "./copy.js";
import { showReadiness } from "./readiness.js";

// The server's address is where this file came from, perhaps below a path that a proxy strips. It will be pasted into
// shells, so characters of a link's path or host that a shell would interpret are percent-encoded.
const { origin, pathname } = new URL(".", import.meta.url);
const address = `${origin}${pathname}`
  .replace(/\/$/, "")
  .replace(/[^\w.~:/[\]%-]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);

for (const element of document.querySelectorAll("[data-address]")) {
  element.textContent = address;
}

for (const block of document.querySelectorAll("[data-copy]")) {
  const bar = block.querySelector(".bar");
  const source = block.querySelector("code");
  if (bar && source) {
    bar.append(copyButton(block.getAttribute("data-copy") ?? "", source));
  }
}

const state = document.getElementById("state");
if (state) {
  showReadiness(state);
}
