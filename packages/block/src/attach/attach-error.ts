/** Why a volume has no local device, for a person. */
export class AttachError extends Error {
  readonly code = 'EATTACH';
}
