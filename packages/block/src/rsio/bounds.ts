/**
 * What a client may have under way on one connection, until it is answered. A client keeps to it: from who goes beyond a server reads
 * nothing, not even a ping, until there is less.
 */
export const requestsMax = 1024;
/** Bytes of all payloads. */
export const payloadsMax = 32 * 1024 * 1024;
