import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { daemonArguments } from './arguments.ts';

const parse = (...words: string[]) => daemonArguments(words, {});

describe('the command line of glusterd', () => {
  it('has the places of GlusterFS', () => {
    expect(parse()).toMatchObject({
      foreground: false,
      pidFile: '/var/run/glusterd.pid',
      logFile: '/var/log/glusterfs/glusterd.log',
      logLevel: 'INFO',
      directories: { work: '/var/lib/glusterd', run: '/var/run/gluster', log: '/var/log/glusterfs' },
      socketPath: '/var/run/glusterd.socket',
      bindAddress: null,
      port: 24007,
    });
  });

  it('moves them for several daemons on one machine', () => {
    const options = [
      'working-directory=/w',
      'run-directory=/r',
      'logging-directory=/l',
      'glusterd-sockfile=/s',
      'transport.socket.bind-address=127.1.1.1',
    ].flatMap((option) => ['--xlator-option', `management.${option}`]);
    expect(parse(...options, '--log-file=/l/gd.log', '--pid-file=/p', '-LDEBUG', '-N')).toMatchObject({
      foreground: true,
      pidFile: '/p',
      logFile: '/l/gd.log',
      logLevel: 'DEBUG',
      directories: { work: '/w', run: '/r', log: '/l' },
      socketPath: '/s',
      bindAddress: '127.1.1.1',
    });
  });

  it('gives bricks the ports of base-port and max-port', () => {
    const ports = (...options: string[]) =>
      parse(...options.flatMap((option) => ['--xlator-option', `management.${option}`])).brickPorts;
    expect(ports()).toEqual({ first: 49152, last: 60999 });
    expect(ports('base-port=62000')).toEqual({ first: 62000, last: 62000 });
    expect(ports('base-port=50000', 'max-port=50009')).toEqual({ first: 50000, last: 50009 });
    for (const wrong of [['base-port=x'], ['max-port=49151'], ['base-port=0'], ['max-port=65536']])
      expect(() => ports(...wrong)).toThrow();
  });

  it('serves metrics where it is told to', () => {
    expect(parse()).toMatchObject({ metrics: null });
    expect(parse('--metrics-port=9713')).toMatchObject({ metrics: { port: 9713, address: '127.0.0.1' } });
    expect(parse('--metrics-port', '1', '--metrics-address', '0.0.0.0')).toMatchObject({
      metrics: { port: 1, address: '0.0.0.0' },
    });
  });

  it.each([[['--nosuch']], [['word']], [['-L', 'LOUD']], [['--xlator-option', 'x=y']], [['--metrics-port=x']]])(
    'refuses %j',
    (words) => {
      expect(() => parse(...words)).toThrow();
    },
  );
});

describe('the volfile of glusterd', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-glusterd-'));
  const file = join(folder, 'glusterd.vol');
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const written = (text: string): string => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    writeFileSync(file, text);
    return file;
  };
  const volume = (...options: string[]) =>
    written(`volume management\ntype mgmt/glusterd\n${options.map((one) => `option ${one}\n`).join('')}end-volume\n`);

  it('says where everything is, unless the command line does', () => {
    const path = volume(
      'working-directory /w',
      'max-port 60000',
      'transport.socket.listen-port 24100',
      'ping-timeout 0',
    );
    const found = parse('-f', path, '--xlator-option', 'management.working-directory=/x');
    expect(found).toMatchObject({ port: 24100, brickPorts: { last: 60000 }, withoutEffect: ['ping-timeout'] });
    expect(found.directories.work).toBe('/x');
    expect(parse(`--volfile=${path}`).directories.work).toBe('/w');
  });

  it.each([
    ['is not there', () => join(folder, 'other'), /ENOENT/],
    ['is none', () => written('volume'), /glusterd\.vol:1/],
    [
      'is a volume of bricks',
      () => written('volume v\ntype storage/posix\noption directory /b\nend-volume\n'),
      /mgmt\/glusterd, not storage\/posix/,
    ],
    ['has a port that is none', () => volume('max-port many'), /max-port 'many'/],
  ])('is refused where it %s', (_why, make, message) => {
    expect(() => parse('-f', make())).toThrow(message);
  });
});
