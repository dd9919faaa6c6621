// @ts-check
import { h } from "./dom.js";

const SHOWN_MS = 2000;

/**
 * A button that copies what `source` says. A live region beside it tells a screen reader that it did.
 *
 * @param {string} what what is copied, as in "Copy the sign-in call"
 * @param {Element} source
 * @returns {HTMLElement}
 */
export function copyButton(what, source) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  const said = h("span", { class: "said", role: "status" });
  /** @type {number | undefined} */
  let timer;

  button.addEventListener("click", async () => {
    const copied = await copy(source);
    button.textContent = copied ? "Copied" : "Selected, not copied";
    said.textContent = copied ? `Copied ${what}` : `Selected ${what}, but could not copy it`;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = "Copy";
      said.textContent = "";
    }, SHOWN_MS);
  });
  return h("span", {}, button, said);
}

/**
 * Browsers give no clipboard to a page that came over plain http from another machine: there the text is
 * selected instead, ready to be copied by hand.
 *
 * @param {Element} source
 * @returns {Promise<boolean>} whether it is on the clipboard
 */
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(source);
    return false;
  }
}
