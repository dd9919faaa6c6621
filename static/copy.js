// @ts-check
import { h } from "./dom.js";

const FEEDBACK_MS = 2000;

/**
 * A button that copies the text of `source`. A live region beside it announces the result to screen readers.
 *
 * @param {string} what names the text, as in "Copy the sign-in call"
 * @param {Element} source
 * @returns {HTMLElement}
 */
export function copyButton(what, source) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  const announcement = h("span", { class: "announcement", role: "status" });
  /** @type {number | undefined} */
  let timer;

  button.addEventListener("click", async () => {
    const copied = await copy(source);
    button.textContent = copied ? "Copied" : "Selected, not copied";
    announcement.textContent = copied ? `Copied ${what}` : `Selected ${what}, but could not copy it`;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = "Copy";
      announcement.textContent = "";
    }, FEEDBACK_MS);
  });
  return h("span", {}, button, announcement);
}

/**
 * Copies the text, or selects it where browsers withhold the clipboard: on a page that was loaded over plain HTTP from
 * another machine.
 *
 * @param {Element} source
 * @returns {Promise<boolean>} whether it was copied
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
