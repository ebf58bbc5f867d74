/** What a daemon is asked to write about itself and cannot: it says why and what to do, and lives. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canMount, ensureBuilt, isAlive, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box.end());

const daemons: Record<string, () => number> = {
  glusterfs: () => {
    const volfile = box.file('v.vol', 'volume v\n  type storage/memory\n  option size 16MB\nend-volume\n');
    // Without a socket nothing would keep a graph of memory alone alive.
    const socket = ['-S', join(box.run, 'd.socket')];
    return box.daemon('glusterfs', 'd.pid', '-f', volfile, '-l', join(box.logs, 'd.log'), ...socket);
  },
  rssrv: () => {
    const socket = join(box.run, 'nbd.sock');
    const text = `[namespace osl]\nnamespaceid = 200\n[server one]\nserverid = 1\n[nbd]\nport = 0\nsocket = ${socket}\n`;
    const config = box.file('rssrvcfg', `${text}[device d]\ntype = memory\nsize = 1m\n`);
    return box.daemon('rssrv', 'd.pid', '-c', config, '-l', join(box.logs, 'd.log'));
  },
  glusterd: () => {
    const given = {
      'working-directory': box.folder('lib'),
      'run-directory': box.run,
      'logging-directory': box.logs,
      'glusterd-sockfile': join(box.run, 'glusterd.socket'),
      'transport.socket.bind-address': `127.${1 + (process.pid % 250)}.${Math.floor(process.pid / 250) % 250}.9`,
    };
    const options = Object.entries(given).flatMap(([key, value]) => ['--xlator-option', `management.${key}=${value}`]);
    return box.daemon('glusterd', 'd.pid', `--log-file=${join(box.logs, 'd.log')}`, ...options);
  },
};

const log = () => readFileSync(join(box.logs, 'd.log'), 'utf8');
const said = (text: RegExp) => until(() => text.test(log()));
const dumpsAt = (path: string) => writeFileSync(join(box.run, 'glusterdump.options'), `path=${path}\n`);
const dumps = (path: string) => readdirSync(path).filter((name) => name.includes('dump'));

describe.each(Object.entries(daemons))('%s', (_, start) => {
  it('lives on, and dumps when there is a place', async () => {
    const pid = start();
    const place = box.file('no-directory', '');
    dumpsAt(place);
    process.kill(pid, 'SIGUSR1');
    expect(
      await said(/ E \[.*sig:USR1 could not write a state dump: .*no-directory.* To do: make .*path=DIR in /),
    ).toBe(true);
    rmSync(place);
    process.kill(pid, 'SIGUSR1');
    expect(await said(/ I \[.*sig:USR1 state dump written to .*no-directory\/glusterdump/)).toBe(true);
    expect([isAlive(pid), dumps(place).length]).toEqual([true, 1]);
    expect(log()).not.toMatch(/ C \[/);
  });

  it('goes on in its former log when there is no directory for a new one', async () => {
    const pid = start();
    const away = `${box.logs}.away`;
    renameSync(box.logs, away);
    process.kill(pid, 'SIGHUP');
    const former = () => readFileSync(join(away, 'd.log'), 'utf8');
    const text = /sig:HUP the log .*d\.log could not be opened anew: ENOENT.* To do: make the directory/;
    expect(await until(() => text.test(former()))).toBe(true);
    mkdirSync(box.logs);
    process.kill(pid, 'SIGUSR1');
    expect(await until(() => former().includes('state dump written'))).toBe(true);
    expect(isAlive(pid)).toBe(true);
  });
});

describe.skipIf(!canMount)('a full disk', () => {
  it('gets no dump, no counters, and keeps nothing half written', async () => {
    const pid = daemons.glusterfs!();
    const full = box.folder('full');
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'none', full]);
    expect(mount.status).toBe(0);
    try {
      spawnSync('dd', ['if=/dev/zero', `of=${full}/rest`, 'bs=4k']);
      dumpsAt(full);
      process.kill(pid, 'SIGUSR1');
      expect(await said(/sig:USR1 could not write a state dump: ENOSPC.* To do: free some space there, or give/)).toBe(
        true,
      );
      expect(readdirSync(full)).toEqual(['rest']);
    } finally {
      spawnSync('umount', [full]);
    }
    writeFileSync(join(box.run, 'metrics'), '');
    process.kill(pid, 'SIGUSR2');
    expect(await said(/sig:USR2 could not write the counters: .*metrics/)).toBe(true);
    expect(isAlive(pid)).toBe(true);
  });
});
