/** What every kind of device checks before it does anything, once; kinds override the protected methods. */
import { Errno } from '@mortar/core';
import {
  type Answer,
  type BlockDevice,
  type Done,
  done,
  payloadMaxBytes,
  type ReadReply,
  refusalOf,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
} from './device.ts';

/** Of a device that nothing special is known of. */
export const plainTraits: Traits = {
  readOnly: false,
  minimumBytes: 1,
  preferredBytes: 4096,
  maximumBytes: payloadMaxBytes,
  rotational: false,
  streams: false,
  resizable: false,
};

export abstract class GuardedDevice implements BlockDevice {
  abstract readonly sizeBytes: number;
  abstract readonly traits: Traits;

  read(offset: number, length: number): Answer<ReadReply> {
    const refusal = refusalOf(this, 'read', offset, length);
    if (refusal) return refusal;
    if (length > this.traits.maximumBytes) return refuse(Errno.EOVERFLOW);
    return length === 0 ? { ok: true, pieces: [] } : this.doRead(offset, length);
  }

  write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    const refusal = refusalOf(this, 'write', offset, bytes.length);
    if (refusal) return refusal;
    if (bytes.length > this.traits.maximumBytes) return refuse(Errno.EOVERFLOW);
    return bytes.length === 0 ? done : this.doWrite(offset, bytes, fua);
  }

  zero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return refusalOf(this, 'write', offset, length) ?? (length === 0 ? done : this.doZero(offset, length, how));
  }

  trim(offset: number, length: number, fua: boolean): Answer<Done> {
    return refusalOf(this, 'trim', offset, length) ?? (length === 0 ? done : this.doTrim(offset, length, fua));
  }

  flush(): Answer<Done> {
    return this.traits.readOnly ? done : this.doFlush();
  }

  status(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    const refusal = refusalOf(this, 'read', offset, length);
    if (refusal) return refusal;
    return length === 0 ? refuse(Errno.EINVAL) : this.doStatus(offset, length, Math.max(1, extentsMax));
  }

  cache(offset: number, length: number): Answer<Done> {
    return refusalOf(this, 'read', offset, length) ?? (length === 0 ? done : this.doCache(offset, length));
  }

  resize(sizeBytes: number): Answer<Done> {
    if (this.traits.readOnly || !this.traits.resizable) return refuse(Errno.EPERM);
    if (!(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) || sizeBytes % this.traits.minimumBytes !== 0)
      return refuse(Errno.EINVAL);
    return sizeBytes === this.sizeBytes ? done : this.doResize(sizeBytes);
  }

  async close(): Promise<void> {}

  protected abstract doRead(offset: number, length: number): Answer<ReadReply>;
  protected abstract doWrite(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done>;
  protected abstract doZero(offset: number, length: number, how: ZeroHow): Answer<Done>;
  protected abstract doTrim(offset: number, length: number, fua: boolean): Answer<Done>;
  protected abstract doFlush(): Answer<Done>;
  protected abstract doStatus(offset: number, length: number, extentsMax: number): Answer<StatusReply>;

  protected doCache(_offset: number, _length: number): Answer<Done> {
    return done;
  }

  protected doResize(_sizeBytes: number): Answer<Done> {
    return refuse(Errno.EPERM);
  }
}
