import type { OptionTable, XlatorType } from '@mortar/core';

/**
 * Fetches a translator's code. Their option tables differ in type, and graphs treat all alike: the loader's result is
 * the general one.
 */
export type XlatorLoader = () => Promise<AnyXlatorType>;

/** A translator type of any options; `create` is only ever called with values parsed by its own table. */
export type AnyXlatorType = Omit<XlatorType<OptionTable>, 'create'> & {
  create(init: never): ReturnType<XlatorType['create']>;
};
