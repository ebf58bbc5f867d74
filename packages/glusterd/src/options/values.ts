/** Checks a value by the type of its option, in GlusterFS's words. Each returns the error, or undefined. */
import { parseAddressRules, parseBool, parseSize, parseTime } from '@mortar/core';
import type { OptionType, VolumeOption } from '../volgen/table.ts';

type Check = (value: string, name: string, entry: VolumeOption) => string | undefined;

/** As printf prints a double without decimals. */
function bound(value: number | undefined, infinite: string): string {
  return value === undefined ? infinite : `${value}`;
}

/** With one bound GlusterFS names it, with both the range. Sizes and times always have a range. */
function range(
  shown: string,
  value: number,
  text: string,
  name: string,
  entry: VolumeOption,
  always: boolean,
): string | undefined {
  const { min, max } = entry;
  if (value >= (min ?? Number.NEGATIVE_INFINITY) && value <= (max ?? Number.POSITIVE_INFINITY)) return undefined;
  const where = `'${shown}' in 'option ${name} ${text}' is`;
  if (!always && max === undefined) return `${where} smaller than minimum value '${min}'`;
  if (!always && min === undefined) return `${where} greater than maximum value '${max}'`;
  return `${where} out of range [${bound(min, '0')} - ${bound(max, 'inf')}]`;
}

/** Decimal, hexadecimal or octal, as strtoll reads it; undefined if it is no whole number. */
export function parseInteger(text: string): number | undefined {
  const match = /^\s*([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text);
  if (!match) return undefined;
  const digits = match[2]!;
  const octal = /^0[0-7]+$/.test(digits);
  const value = (octal ? Number.parseInt(digits, 8) : Number(digits)) * (match[1] === '-' ? -1 : 1);
  // A negative number is not 0.
  if (Object.is(value, -0)) return undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

const badNumber = (value: string, name: string) => `invalid number format "${value}" in option "${name}"`;

const checkBool: Check = (value, name) =>
  parseBool(value) === undefined ? `option ${name} ${value}: '${value}' is not a valid boolean value` : undefined;

const checkInt: Check = (value, name, entry) => {
  const number = parseInteger(value);
  return number === undefined ? badNumber(value, name) : range(`${number}`, number, value, name, entry, false);
};

const checkSize: Check = (value, name, entry) => {
  const bytes = parseSize(value);
  return bytes === undefined ? badNumber(value, name) : range(`${bytes}`, bytes, value, name, entry, true);
};

const checkTime: Check = (value, name, entry) => {
  const seconds = parseTime(value);
  if (seconds === undefined) return `invalid time format "${value}" in "option ${name}"`;
  return range(`${seconds}`, seconds, value, name, entry, true);
};

function percentOf(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text);
  return match ? Number(match[1]) : undefined;
}

const checkPercent: Check = (value, name) => {
  const percent = percentOf(value);
  if (percent === undefined) return `invalid percent format "${value}" in "option ${name}"`;
  return percent > 100 ? `'${percent.toFixed(6)}' in 'option ${name} ${value}' is out of range [0 - 100]` : undefined;
};

const checkPercentOrSize: Check = (value, name, entry) => {
  if (value.endsWith('%')) {
    return percentOf(value) === undefined
      ? `invalid number format "${value}" in "option ${name}"`
      : checkPercent(value, name, entry);
  }
  // A part of a byte.
  if (/^\d+\.\d*[1-9]\d*$/.test(value)) return badNumber(value, name);
  return parseSize(value) === undefined ? `invalid number format "${value}" in "option ${name}"` : undefined;
};

const checkPath: Check = (value, name) => {
  if (value.includes('../')) return `invalid path given '${value}'`;
  return value.startsWith('/') ? undefined : `option ${name} ${value}: '${value}' is not an absolute path name`;
};

/** Sizes for patterns of names: `*.jpg:1,*:0`. */
const checkPriorities: Check = (value, name) =>
  value.split(',').every((part) => /^[^:]+:\d+$/.test(part.trim()))
    ? undefined
    : `option ${name} ${value}: '${value}' is not a valid priority-list`;

/** A comma too many does no harm. */
function addressesIn(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

export const checkAddressList: Check = (value, name) =>
  addressesIn(value).length > 0 && addressesIn(value).every(isAddress) ? undefined : noAddressList(value, name);

/** Addresses for the volume, or directories with those for each. */
export const checkAllowList: Check = (value, name, entry) => {
  const rules = parseAddressRules(value);
  const isGood = rules?.every(({ addresses }) => addresses.length > 0 && addresses.every(isAddress));
  return isGood ? undefined : (checkAddressList(value, name, entry) ?? noAddressList(value, name));
};

/** Who is rejected from a directory would reach it from one above. */
export const checkRejectList: Check = (value, name, entry) =>
  value.includes('(')
    ? `option ${name} ${value}: addresses are rejected from the whole volume; name directories in auth.allow`
    : checkAddressList(value, name, entry);

const noAddressList = (value: string, name: string) =>
  `option ${name} ${value}: '${value}' is not a valid internet-address-list`;

/** IPv4 with wild-cards or a mask, IPv6, a host name with wild-cards, or all. */
export function isAddress(text: string): boolean {
  if (text === '') return false;
  const [address = '', mask, ...rest] = text.split('/');
  if (rest.length > 0 || (mask !== undefined && !/^\d{1,3}$/.test(mask))) return false;
  if (/^[\d.*]+$/.test(address)) {
    const parts = address.split('.');
    const hasWildcard = parts.includes('*');
    const isPart = (part: string) => /^\d{1,3}$/.test(part) && Number(part) <= 255;
    return parts.length <= 4 && parts.every((part) => part === '*' || (part === '' && hasWildcard) || isPart(part));
  }
  if (address.includes(':')) return /^[0-9a-f:.*]+(%\w+)?$/i.test(address);
  if (address.includes('..')) return false;
  return /^@?[A-Za-z0-9_*?[\]]([A-Za-z0-9_.*?[\]-]*[A-Za-z0-9_*?[\]-])?$/.test(address);
}

const byType: Partial<Record<OptionType, Check>> = {
  BOOL: checkBool,
  INT: checkInt,
  SIZET: checkSize,
  TIME: checkTime,
  PERCENT: checkPercent,
  PERCENT_OR_SIZET: checkPercentOrSize,
  PATH: checkPath,
  PRIORITY_LIST: checkPriorities,
  INTERNET_ADDRESS_LIST: checkAddressList,
};

/** The name that messages have for an option: the translator's, without the mark of those that code handles. */
export function optionName(entry: VolumeOption): string {
  return entry.option.replace(/^!/, '');
}

/** What is wrong with a value for one entry of the table, or undefined. */
export function checkValue(entry: VolumeOption, value: string, name: string = shownName(entry)): string | undefined {
  if (entry.allowed && !entry.allowed.includes(value))
    return `option ${name} ${value}: '${value}' is not valid (possible options are ${entry.allowed.join(', ')}.)`;
  if (entry.type === undefined) return checkUntyped(entry, value, name);
  return byType[entry.type]?.(value, name, entry);
}

/** The levels of clients and bricks are one option of io-stats. */
function shownName(entry: VolumeOption): string {
  const name = optionName(entry);
  return /^(client|brick)-(log-level|threads)$/.test(name) ? name.slice(name.indexOf('-') + 1) : name;
}

/** Options without a type that switch something on or off, by what the table gives for them. */
function checkUntyped(entry: VolumeOption, value: string, name: string): string | undefined {
  const switches = entry.option === '!perf' || entry.option === '!nfsperf' || entry.option === '!feat';
  const isSwitch = switches || parseBool(entry.value ?? '') !== undefined;
  const isPlace = entry.option === '!debug';
  return isSwitch && !isPlace && !/^\d+$/.test(entry.value ?? '') ? checkBool(value, name, entry) : undefined;
}
