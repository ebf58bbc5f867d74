import { describe, expect, it } from 'vitest';
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
