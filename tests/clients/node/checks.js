// Shared by the Node.js clients.

/** Prints the result of a check. */
export function check(what, expected, got) {
  const [e, g] = [JSON.stringify(expected), JSON.stringify(got)];
  console.log(e === g ? `ok - ${what}` : `FAIL - ${what}: expected ${e}, got ${g}`);
}

/** The error of a call that must fail. */
export async function refused(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}
