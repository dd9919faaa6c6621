// @ts-check

const EVERY_MS = 10_000;

/** What is shown for each state. */
const WORDS = { ready: "Ready", "not-ready": "Not ready", away: "Not reachable" };

/**
 * Shows in `place` whether the server is ready, and keeps it true while the page is looked at.
 *
 * @param {HTMLElement} place
 */
export function showReadiness(place) {
  const look = async () => {
    if (document.visibilityState === "visible") {
      show(place, await ask());
    }
  };
  place.dataset.state = "asking";
  place.textContent = "Checking";
  look();
  setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", look);
}

/** @returns {Promise<keyof typeof WORDS>} */
async function ask() {
  try {
    const answer = await fetch(new URL("readyz", import.meta.url), { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
    return answer.ok ? "ready" : "not-ready";
  } catch {
    return "away";
  }
}

/**
 * Touches the page only where something changed: each touch is read out.
 *
 * @param {HTMLElement} place
 * @param {keyof typeof WORDS} state
 */
function show(place, state) {
  if (place.dataset.state !== state) {
    place.dataset.state = state;
    place.textContent = WORDS[state];
  }
}
