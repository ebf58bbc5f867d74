import { describe, expect, it } from 'vitest';
import { logDirectory } from '../process/directories.ts';
import { UsageError } from './getopt.ts';
import { processArguments } from './process-arguments.ts';

const parse = (line: string, cwd = '/home/u') => processArguments(line === '' ? [] : line.split(' '), cwd);

describe('processArguments', () => {
  it('reads the command line of a mount as scripts write it', () => {
    const args = parse(
      '--entry-timeout=0 --attribute-timeout=0 -s h1 --volfile-server=h2 --volfile-id /vol --xlator-option=*dht.x=1 /mnt/glusterfs/0',
    );
    expect(args).toMatchObject({
      servers: ['h1', 'h2'],
      serverPort: 24007,
      volfileId: 'vol',
      mountPoint: '/mnt/glusterfs/0',
      logFile: `${logDirectory}/mnt-glusterfs-0.log`,
      overrides: [{ volume: '*dht', option: 'x', value: '1' }],
      foreground: false,
      logLevel: 'INFO',
    });
    expect(args.given.get('entry-timeout')).toBe('0');
  });

  it("reads a brick's command line as glusterd writes it", () => {
    const args = parse(
      '-s h --volfile-id v.h.d-b0 -p /run/b.pid -S /run/1234.socket --brick-name /d/b0 -l /log/b.log --xlator-option *-posix.glusterd-uuid=U --process-name brick --brick-port 49152 --xlator-option v-server.listen-port=49152',
    );
    expect(args).toMatchObject({
      pidFile: '/run/b.pid',
      socketFile: '/run/1234.socket',
      brickName: '/d/b0',
      brickPort: 49152,
      logFile: '/log/b.log',
      volfileId: 'v.h.d-b0',
      processName: 'brick',
      overrides: [
        { volume: '*-posix', option: 'glusterd-uuid', value: 'U' },
        { volume: 'v-server', option: 'listen-port', value: '49152' },
      ],
    });
  });

  it.each([
    ['--volfile-id=vol', 'vol', undefined],
    ['--volfile-id=/vol', 'vol', undefined],
    ['--volfile-id=/vol/a/b', 'vol', '/a/b'],
    ['--volfile-id=shd/vol', 'shd/vol', undefined],
    ['--volfile-id=/snaps/s1/vol', 'snaps/s1/vol', undefined],
    ['--volfile-id=vol --subdir-mount=/a/', 'vol', '/a'],
  ])('%s is volume %s entered at %s', (line, volfileId, subdirectory) => {
    expect(parse(line)).toMatchObject({ volfileId, subdirectory });
  });

  it('resolves paths against the directory it was called in', () => {
    expect(parse('-f local.vol -l x.log mnt')).toMatchObject({
      volfile: '/home/u/local.vol',
      logFile: '/home/u/x.log',
      mountPoint: '/home/u/mnt',
    });
  });

  it('keeps dots and equal signs of an option where they are', () => {
    expect(parse('--xlator-option v-client-0.transport.socket.x=a=b').overrides).toEqual([
      { volume: 'v-client-0', option: 'transport.socket.x', value: 'a=b' },
    ]);
  });

  it('takes --debug for foreground, console and DEBUG', () => {
    expect(parse('--debug')).toMatchObject({ foreground: true, console: true, logLevel: 'DEBUG' });
  });

  it('takes levels of any case', () => {
    expect(parse('-LDEBUG').logLevel).toBe('DEBUG');
    expect(parse('--log-level=warning').logLevel).toBe('WARNING');
  });

  it.each([
    '-L LOUD',
    '--volfile-server-transport=rdma',
    '--volfile-server-port=70000',
    '--volfile-server-port=x',
    '--xlator-option a',
    '--lru-limit=-1',
  ])('refuses %s', (line) => {
    expect(() => parse(line)).toThrow(UsageError);
  });
});
