/** Bricks and mounts that have their volfiles from a glusterd. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeGlusterd } from '../support/fake-glusterd.ts';
import { canMount, ensureBuilt, isAlive, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

const brick = '/bricks/b0';
const brickVolfile = `
volume v-mem
  type storage/memory
  option size 64MB
end-volume
volume v-locks
  type features/locks
  subvolumes v-mem
end-volume
volume ${brick}
  type debug/io-stats
  subvolumes v-locks
end-volume
volume v-server
  type protocol/server
  option auth.addr.${brick}.allow *
  option auth-path ${brick}
  option transport.socket.bind-address 127.0.0.1
  subvolumes ${brick}
end-volume
`;
const clientVolfile = `
volume v-client-0
  type protocol/client
  option remote-host 127.0.0.1
  option remote-subvolume ${brick}
end-volume
`;

let box: Sandbox;
let glusterd: FakeGlusterd;
beforeEach(async () => {
  box = new Sandbox();
  glusterd = new FakeGlusterd();
  glusterd.volfiles.set('v.h.bricks-b0', brickVolfile);
  glusterd.volfiles.set('v', clientVolfile);
  await glusterd.listen();
});
afterEach(async () => {
  await box.end();
  await glusterd.close();
});

const socket = () => join(box.run, '0123456789abcdef.socket');

function startBrick(...more: string[]): Promise<number> {
  const server = ['-s', '127.0.0.1', `--volfile-server-port=${glusterd.port}`, '--volfile-id', 'v.h.bricks-b0'];
  const log = ['-l', join(box.logs, 'brick.log')];
  return box.daemonAsync(
    'glusterfsd',
    'b.pid',
    ...server,
    ...log,
    '-S',
    socket(),
    '--brick-name',
    brick,
    '--brick-port',
    '0',
    ...more,
  );
}

describe('a brick', () => {
  it('signs in with its port, pid and socket before the command returns', async () => {
    const pid = await startBrick();
    const entry = glusterd.signedIn.get(brick);
    expect(entry).toMatchObject({ pid, socketPath: join(box.run, '0123456789abcdef.fop') });
    expect(entry!.port).toBeGreaterThan(0);
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('glusterfsd\n');
  });

  it('lives on without glusterd and signs in again when it is back', async () => {
    const pid = await startBrick();
    const { port } = glusterd;
    await glusterd.close();
    expect(isAlive(pid)).toBe(true);
    glusterd = new FakeGlusterd();
    glusterd.volfiles.set('v.h.bricks-b0', brickVolfile);
    await glusterd.listen(port);
    expect(await until(() => glusterd.signedIn.get(brick)?.pid === pid)).toBe(true);
  });

  it('is stopped by gf_attach -d SOCKET BRICKPATH', async () => {
    const pid = await startBrick();
    const { status, stderr } = await box.commandAsync('gf_attach', '-d', socket(), brick);
    expect([status, stderr]).toEqual([0, '']);
    expect(await until(() => !isAlive(pid))).toBe(true);
    expect(readdirSync(box.run)).toEqual([]);
    expect(glusterd.signedIn.has(brick)).toBe(false);
  });

  it('is not stopped by the name of another brick', async () => {
    const pid = await startBrick();
    const { status, stderr } = await box.commandAsync('gf_attach', '-d', socket(), '/bricks/b1');
    expect(status).toBe(1);
    expect(stderr).toContain('this process serves /bricks/b0, not /bricks/b1');
    expect(isAlive(pid)).toBe(true);
  });

  it('names its state dump after its path', async () => {
    const pid = await startBrick();
    process.kill(pid, 'SIGUSR1');
    const wanted = new RegExp(`^bricks-b0\\.${pid}\\.dump\\.\\d+$`);
    expect(await until(() => readdirSync(box.run).some((name) => wanted.test(name)))).toBe(true);
  });

  it('names brick and cause when its port is in use, by an exit status of its own too', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    await expect(startBrick('--xlator-option', `v-server.listen-port=${port}`)).rejects.toThrow(
      new RegExp(`exited with 98: brick ${brick} cannot start: .*EADDRINUSE.*${port}`),
    );
    other.close();
  });

  describe('over a directory', () => {
    const id = '4f0c5d8e-1c38-4d2b-9f43-6a1f0c7b1a2b';
    let path: string;
    beforeEach(() => {
      path = box.folder('b0');
      const posix = `volume v-mem\n type storage/posix\n option directory ${path}\n option volume-id ${id}\nend-volume\n`;
      glusterd.volfiles.set('v.h.bricks-b0', brickVolfile.replace(/volume v-mem[\s\S]*?end-volume\n/, posix));
    });

    it('does not start when the directory is gone', async () => {
      rmSync(path, { recursive: true });
      await expect(startBrick()).rejects.toThrow(new RegExp(`brick ${brick} cannot start: .*${path}`));
    });

    it.skipIf(!canMount)("does not start on another volume's directory", async () => {
      const setId = (hex: string) =>
        spawnSync('setfattr', ['-n', 'trusted.glusterfs.volume-id', '-v', `0x${hex}`, path]);
      expect(setId('00000000000040008000000000000001').status).toBe(0);
      await expect(startBrick()).rejects.toThrow(new RegExp(`brick ${brick} cannot start: .*volume`));
      setId(id.replaceAll('-', ''));
      expect(await startBrick()).toBeGreaterThan(0);
    });
  });

  it('says so when glusterd does not know it', async () => {
    glusterd.volfiles.clear();
    await expect(startBrick()).rejects.toThrow(`brick ${brick} cannot start: failed to fetch the volume file`);
  });
});

describe.skipIf(!canMount)('a mount', () => {
  it('serves the brick by volume id, and takes a changed volfile while files are open', async () => {
    await startBrick();
    const mnt = box.mountPoint();
    const log = join(box.logs, 'm.log');
    const server = ['-s', '127.0.0.1', `--volfile-server-port=${glusterd.port}`, '--volfile-id=/v', '-l', log];
    await box.daemonAsync('glusterfs', 'm.pid', ...server, mnt);
    expect(readFileSync('/proc/self/mounts', 'utf8')).toContain(`127.0.0.1:/v ${mnt} fuse.glusterfs `);
    await box.inMount(`echo one >${mnt}/a`);

    glusterd.publish('v', `${clientVolfile}volume v\n type debug/io-stats\n subvolumes v-client-0\nend-volume\n`);
    expect(await until(() => box.log('m.log').includes('switched to graph 1'))).toBe(true);
    expect(await box.inMount(`cat ${mnt}/a`)).toBe('one\n');
  });

  it('and its brick tell in their state dumps what is open and what is only known', async () => {
    const brickPid = await startBrick();
    const mnt = box.mountPoint();
    const server = ['-s', '127.0.0.1', `--volfile-server-port=${glusterd.port}`, '--volfile-id=/v'];
    await box.daemonAsync('glusterfs', 'm.pid', ...server, '-l', join(box.logs, 'm.log'), mnt);
    const mountPid = readFileSync(join(box.run, 'm.pid'), 'utf8').trim();
    await box.inMount(
      `touch ${mnt}/b; exec 3>>${mnt}/a 4>>${mnt}/a; kill -USR1 ${brickPid} ${mountPid}
       for i in $(seq 100); do [ $(ls ${box.run} | grep -c '[.]dump[.][0-9]*$') = 2 ] && break; sleep 0.1; done`,
    );
    const dump = (pid: number | string) => {
      const name = readdirSync(box.run).find((one) => one.includes(`.${pid}.dump.`))!;
      return readFileSync(join(box.run, name), 'utf8');
    };
    expect(dump(brickPid)).toMatch(/^\[conn\.1\.bound_xl\.\/bricks\/b0\.active\.1\]\ngfid=[0-9a-f-]{36}\nfd-count=2$/m);
    expect(dump(mountPid)).toMatch(/^\[xlator\.mount\.fuse\.itable\]\nactive_size=1\nlru_size=2$/m);
  });

  it('is there in bounded time when its brick cannot be reached, and says that it is not connected', async () => {
    const mnt = box.mountPoint();
    const server = ['-s', '127.0.0.1', `--volfile-server-port=${glusterd.port}`, '--volfile-id=v'];
    await box.daemonAsync('glusterfs', 'm.pid', ...server, mnt);
    expect(readFileSync('/proc/self/mounts', 'utf8')).toContain(mnt);
    await expect(box.inMount(`stat ${mnt}/a 2>&1`)).rejects.toThrow();
    await startBrick();
    // Bricks are tried again all the time: the same mount serves once one is there.
    const serves = () => box.inMount(`echo one >${mnt}/a && cat ${mnt}/a`).catch(() => undefined);
    let text = await serves();
    for (let i = 0; i < 100 && text === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      text = await serves();
    }
    expect(text).toBe('one\n');
  });

  it('fetches from the second server when the first is down', async () => {
    await startBrick();
    const mnt = box.mountPoint();
    const servers = ['-s', '127.0.0.1:1', '-s', `127.0.0.1:${glusterd.port}`];
    await box.daemonAsync(
      'glusterfs',
      'm.pid',
      ...servers,
      `--volfile-server-port=${glusterd.port}`,
      '--volfile-id=v',
      mnt,
    );
    writeFileSync(box.file('x', ''), '');
    expect(await box.inMount(`ls ${mnt}`)).toBe('');
  });
});
