// @ts-check

const EVERY_MS = 10_000;

/** The text for each state. */
const LABELS = { ready: "Ready", "not-ready": "Not ready", unreachable: "Not reachable" };

/**
 * Shows in `element` whether the server is ready, and updates it while the page is visible.
 *
 * @param {HTMLElement} element
 */
export function showReadiness(element) {
  const update = async () => {
    if (document.visibilityState === "visible") {
      show(element, await fetchState());
    }
  };
  element.dataset.state = "checking";
  element.textContent = "Checking";
  update();
  setInterval(update, EVERY_MS);
  document.addEventListener("visibilitychange", update);
}

/** @returns {Promise<keyof typeof LABELS>} */
async function fetchState() {
  try {
    const response = await fetch(new URL("readyz", import.meta.url), { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
    return response.ok ? "ready" : "not-ready";
  } catch {
    return "unreachable";
  }
}

/**
 * Changes the element only if the state changed, since screen readers announce each change.
 *
 * @param {HTMLElement} element
 * @param {keyof typeof LABELS} state
 */
function show(element, state) {
  if (element.dataset.state !== state) {
    element.dataset.state = state;
    element.textContent = LABELS[state];
  }
}
