// What an error tells a program (its code and reason) and a person (the fields that are wrong).

import { ConnectError, Code } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb";

export function explain(reason: unknown): string {
  const error = ConnectError.from(reason);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  const fields = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
  const lines = [`${Code[error.code]}${info ? ` (${info.reason})` : ""}: ${error.rawMessage}`];
  lines.push(...fields.map(({ field, description }) => `${field} ${description}`));
  if (retry?.retryDelay) {
    lines.push(`Try again in ${retry.retryDelay.seconds} s.`);
  }
  return lines.join("\n");
}
