import { expect, it } from 'vitest';
import { isLoopback } from './loopback.ts';

it.each([
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['10.0.0.1', false],
  ['128.127.0.1', false],
  ['127.example.org', false],
  ['127.0.0.1.example.org', false],
  ['localhost', false],
  ['', false],
])('%j is of this machine alone: %j', (address, is) => {
  expect(isLoopback(address)).toBe(is);
});
