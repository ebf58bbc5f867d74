/** Real programs on a mount, and two mounts of one volume side by side. */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { eventually, hasProgram, type MountedVolume, startCluster } from '../support/cluster.ts';
import { manifest } from '../support/manifest.ts';
import { canMount, root } from '../support/sandbox.ts';

describe.skipIf(!canMount)('on a replicated volume', () => {
  const cluster = startCluster();
  let one: MountedVolume;
  let two: MountedVolume;
  let source: string;
  beforeAll(async () => {
    await cluster.createAndStart('vol', ['replica', '3'], 6);
    one = await cluster.mount('vol');
    two = await cluster.mount('vol');
    source = join(root, 'packages/core');
    for (const name of ['git', 'tar', 'sql', 'cc', 'vim', 'rsync', 'lock', 'see']) mkdirSync(join(one.path, name));
  });
  const at = (name: string) => join(one.path, name);

  it.runIf(hasProgram('git'))('git commits, clones, checks out and finds nothing wrong', async () => {
    const identity = '-c user.name=a -c user.email=a@b -c init.defaultBranch=main -c safe.directory=*';
    mkdirSync(at('git/a'));
    const commands = `git init -q . && cp -r ${source}/src . && git add . && git commit -qm one && git mv src moved && git commit -qm two`;
    await cluster.sh(commands.replaceAll('git ', `git ${identity} `), at('git/a'));
    await cluster.sh(
      `git ${identity} clone -q --no-local a b && cd b && git ${identity} gc -q && git ${identity} fsck --full --strict`,
      at('git'),
    );
    expect(await cluster.sh(`git ${identity} -C b status --porcelain`, at('git'))).toBe('');
    expect(await cluster.sh('diff -r a/moved b/moved', at('git'))).toBe('');
    expect(await cluster.sh(`diff -r ${source}/src ${join(two.path, 'git/b/moved')}`)).toBe('');
  });

  it.runIf(hasProgram('tar'))('tar unpacks what it packed', async () => {
    await cluster.sh(
      `cp -r ${source} src && ln src/package.json src/hard && ln -s hard src/soft && chmod 7741 src/hard`,
    );
    await cluster.sh(`tar cf - src | tar xf - -C ${at('tar')} && tar cf back.tar -C ${at('tar')} src`);
    await cluster.sh('mkdir back && tar xf back.tar -C back');
    expect(await manifest(cluster, cluster.at('back/src'))).toEqual(await manifest(cluster, cluster.at('src')));
    expect(await manifest(cluster, at('tar/src'))).toEqual(await manifest(cluster, cluster.at('src')));
    await cluster.sh(`tar df back.tar -C ${join(two.path, 'tar')}`);
  });

  it.runIf(hasProgram('python3'))('sqlite keeps a database, with journal and with write-ahead log', async () => {
    writeFileSync(
      cluster.at('db.py'),
      `
import sqlite3, sys
for mode in ('delete', 'wal'):
    db = sqlite3.connect(sys.argv[1] + mode)
    assert db.execute('pragma journal_mode=' + mode).fetchone()[0] == mode
    db.execute('create table t (k integer primary key, v text)')
    for i in range(20):
        with db:
            db.executemany('insert into t values (?, ?)', [(i * 100 + j, 'x' * j) for j in range(100)])
    try:
        with db:
            db.execute('delete from t')
            raise KeyError()
    except KeyError:
        pass
    db.close()
    db = sqlite3.connect(sys.argv[1] + mode)
    assert db.execute('pragma integrity_check').fetchone()[0] == 'ok'
    print(mode, *db.execute('select count(*), sum(length(v)) from t').fetchone())
`,
    );
    expect(await cluster.sh(`python3 db.py ${at('sql/')}`)).toBe('delete 2000 99000\nwal 2000 99000\n');
  });

  it.runIf(hasProgram('gcc'))('gcc compiles and the program runs', async () => {
    writeFileSync(at('cc/a.h'), '#define WORD "hello"\n');
    writeFileSync(at('cc/a.c'), '#include <stdio.h>\n#include "a.h"\nint main(void) { puts(WORD); return 0; }\n');
    await cluster.sh('gcc -c a.c -o a.o && gcc a.o -o a', at('cc'));
    expect(await cluster.sh('./a', at('cc'))).toBe('hello\n');
    expect(await cluster.sh(`${two.path}/cc/a`)).toBe('hello\n');
  });

  it.runIf(hasProgram('vim'))('vim edits a file with swap and backup', async () => {
    writeFileSync(at('vim/f'), 'one\ntwo\n');
    await cluster.sh(`vim -u NONE -es -c 'set backup backupskip=' -c '%s/two/three/' -c wq f </dev/null`, at('vim'));
    expect(readFileSync(join(two.path, 'vim/f'), 'utf8')).toBe('one\nthree\n');
    expect(readdirSync(at('vim')).sort()).toEqual(['f', 'f~']);
  });

  it.runIf(hasProgram('rsync'))('rsync copies, finds no difference, and copies back', async () => {
    await cluster.sh(`rsync -aHX ${source}/ ${at('rsync')}/`);
    expect(await cluster.sh(`rsync -aHX --checksum --itemize-changes ${source}/ ${at('rsync')}/`)).toBe('');
    appendFileSync(at('rsync/package.json'), '\n');
    expect(await cluster.sh(`rsync -a --checksum --itemize-changes -n ${source}/ ${two.path}/rsync/`)).toContain(
      'package.json',
    );
  });

  /** Holds a lock from another process until it is told to end. */
  async function holder(words: string[]): Promise<() => Promise<void>> {
    const child = spawn(words[0]!, words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.stdin.end();
      });
  }

  it.runIf(hasProgram('flock'))('flock holds between two mounts and is released', async () => {
    writeFileSync(at('lock/f'), '');
    const end = await holder(['flock', at('lock/f'), '-c', 'echo held; cat']);
    const attempt = () => cluster.run('flock', ['-n', join(two.path, 'lock/f'), '-c', 'true']);
    expect((await attempt()).exitCode).toBe(1);
    const waiter = cluster.run('flock', [join(two.path, 'lock/f'), '-c', 'echo mine']);
    await end();
    expect((await waiter).stdout).toBe('mine\n');
    expect((await attempt()).exitCode).toBe(0);
  });

  it.runIf(hasProgram('python3'))('byte ranges are locked between two mounts', async () => {
    writeFileSync(at('lock/g'), 'x'.repeat(100));
    const lock = (start: number, wait: string) =>
      `import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f, fcntl.LOCK_EX${wait}, 10, ${start})\nprint('held', flush=True)\nsys.stdin.read()`;
    const end = await holder(['python3', '-c', lock(20, ''), at('lock/g')]);
    const attempt = (start: number) =>
      cluster.run('python3', ['-c', lock(start, '|fcntl.LOCK_NB'), join(two.path, 'lock/g')]);
    expect((await attempt(25)).exitCode).not.toBe(0);
    expect((await attempt(30)).exitCode).toBe(0);
    await end();
    expect((await attempt(25)).exitCode).toBe(0);
  });

  it('two mounts see each other', async () => {
    const [a, b] = [at('see'), join(two.path, 'see')];
    for (let i = 0; i < 20; i++) {
      writeFileSync(join(a, 'f'), `from a ${i}`);
      await eventually('the data of a at b', () => readFileSync(join(b, 'f'), 'utf8') === `from a ${i}`);
      writeFileSync(join(b, 'f'), `from b, longer ${i}`);
      await eventually('the data of b at a', () => readFileSync(join(a, 'f'), 'utf8') === `from b, longer ${i}`);
    }
    renameSync(join(a, 'f'), join(a, 'g'));
    await eventually('the new name', () => readdirSync(b).join() === 'g');
    rmSync(join(b, 'g'));
    await eventually('the end of the file', () => readdirSync(a).length === 0);
    await eventually('ENOENT', () => statSync(join(a, 'g'), { throwIfNoEntry: false }) === undefined);
  });

  it('appends of two mounts do not overwrite each other', async () => {
    const line = (path: string, letter: string) =>
      cluster.sh(`for i in $(seq 100); do echo ${letter}$i >>${path}/append; done`);
    await Promise.all([line(at('see'), 'a'), line(join(two.path, 'see'), 'b')]);
    const expected = ['a', 'b'].flatMap((letter) => Array.from({ length: 100 }, (_, i) => `${letter}${i + 1}`));
    await eventually('all lines', () => readFileSync(at('see/append'), 'utf8').trimEnd().split('\n').length === 200);
    expect(readFileSync(at('see/append'), 'utf8').trimEnd().split('\n').sort()).toEqual(expected.sort());
  });
});
