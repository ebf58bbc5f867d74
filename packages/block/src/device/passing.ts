/** A wrapper: a device over another one. Passes everything; those that extend it change what they are for. */
import {
  type Answer,
  type BlockDevice,
  type Done,
  done,
  type ReadReply,
  type StatusReply,
  type Traits,
  type ZeroHow,
} from './device.ts';

export abstract class PassingDevice implements BlockDevice {
  protected readonly below: BlockDevice;

  constructor(below: BlockDevice) {
    this.below = below;
  }

  get sizeBytes(): number {
    return this.below.sizeBytes;
  }

  get traits(): Traits {
    return this.below.traits;
  }

  read(offset: number, length: number): Answer<ReadReply> {
    return this.below.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.below.write(offset, bytes, fua);
  }

  zero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return this.below.zero(offset, length, how);
  }

  trim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.below.trim(offset, length, fua);
  }

  flush(): Answer<Done> {
    return this.below.flush();
  }

  status(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    return this.below.status(offset, length, extentsMax);
  }

  cache(offset: number, length: number): Answer<Done> {
    return this.below.cache(offset, length);
  }

  resize(sizeBytes: number): Answer<Done> {
    return this.below.resize(sizeBytes);
  }

  hold(force: boolean): Answer<Done> {
    return this.below.hold?.(force) ?? done;
  }

  async rest(): Promise<void> {
    await this.below.rest?.();
  }

  close(): Promise<void> {
    return this.below.close();
  }
}
