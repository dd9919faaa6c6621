// @ts-check
// The page reads well without this. It adds what only a browser knows or can do: the address that this
// server was reached at, whether it is ready now, and copying.
import { copyButton } from "./copy.js";
import { showReadiness } from "./readiness.js";

// The server is where this file came from: below a path, perhaps, that a proxy takes off. The address will be pasted
// into shells, to which a link's path or host could say something with other characters than these.
const { origin, pathname } = new URL(".", import.meta.url);
const address = `${origin}${pathname}`
  .replace(/\/$/, "")
  .replace(/[^\w.~:/[\]%-]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);

for (const place of document.querySelectorAll("[data-address]")) {
  place.textContent = address;
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
