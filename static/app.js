// @ts-check
// The page reads well without this. It adds what only a browser knows or can do: the address that this
// server was reached at, whether it is ready now, and copying.
import { copyButton } from "./copy.js";
import { showReadiness } from "./readiness.js";

for (const place of document.querySelectorAll("[data-origin]")) {
  place.textContent = location.origin;
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
