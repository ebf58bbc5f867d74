import { Fd, type FopName } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, rig, write } from './test-rig.ts';

/** Two clients; brick 0 is out of the writer's reach, not out of the reader's, who reads there first. */
async function scene() {
  const set = await rig();
  const [writer, reader] = [await set.client(), await set.client({ 'read-subvolume-index': '0' })];
  const { fd, gfid } = await create(writer, 'f', 'old');
  await writer.xlator.drain();
  const open = new Fd(gfid, 0);
  const read = async () => {
    const page = await reader.ops.readv(reader.call, { fd: open, size: 100, offset: 0 });
    return page.ok ? Buffer.from(page.data).toString() : page.errno;
  };
  expect(await read()).toBe('old');
  writer.gates[0]!.shutDoor();
  /** The next such request to brick 0 is answered, then the writer writes, then the answer comes. */
  const writeDuring = (fop: FopName, late: number) => {
    let once = false;
    for (const [i, gate] of reader.gates.entries())
      gate.late = (name) => {
        if (i !== late || name !== fop || once) return undefined;
        once = true;
        return (async () => {
          // The others have answered.
          await new Promise((resolve) => setTimeout(resolve, 50));
          expect(await write(writer, fd, 'new')).toMatchObject({ ok: true });
        })();
      };
  };
  return { set, writer, reader, fd, gfid, read, writeDuring };
}

describe('a replica that is accused', () => {
  it('is not read by another client', async () => {
    const { writer, fd, read } = await scene();
    expect(await write(writer, fd, 'new')).toMatchObject({ ok: true });
    expect(await read()).toBe('new');
  });

  it('while another client asks about the file is not read by that, whose answers are older', async () => {
    const { reader, gfid, read, writeDuring } = await scene();
    writeDuring('lookup', 0);
    const found = await reader.ops.lookup(reader.call, { loc: { gfid, parent: null, name: null } });
    expect(found).toMatchObject({ ok: true });
    expect(await read()).toBe('new');
  });

  it('while another client asks anew before it reads is not read', async () => {
    const { reader, gfid, read, writeDuring } = await scene();
    reader.xlator.replica.contexts.doubt(gfid);
    writeDuring('lookup', 0);
    expect(await read()).toBe('new');
  });

  it('while another client reads there is read again elsewhere', async () => {
    const { read, writeDuring } = await scene();
    writeDuring('readv', 0);
    expect(await read()).toBe('new');
  });
});
