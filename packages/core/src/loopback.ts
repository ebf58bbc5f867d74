/** Whether a numeric address, IPv4 or IPv6, is of this machine alone. A name is not, whatever it stands for. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address);
}
