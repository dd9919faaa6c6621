// The browser of the checks that need one.

import { chromium } from "playwright-core";

/** Starts Debian's Chromium without what reaches for the network by itself. */
export function launchChromium() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
}
