/**
 * The process of a client: of `HOST-PID-SECONDS-CHANCE-NAME`, as `protocol/client` calls itself, what all its graphs have in common. Anything else is a process of
 * its own.
 */
export function clientProcess(clientId: string): string {
  return /^(.*-\d+)-\d+-[0-9a-f]{12}-/.exec(clientId)?.[1] ?? clientId;
}
