import { parseOptions, type XlatorInit } from '@mortar/core';
import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { rigServices } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

fopConformance(async () => {
  const services = rigServices();
  const { values } = parseOptions(xlator.options, new Map());
  const init = { name: 'm', type: xlator.type, options: values, texts: new Map(), services };
  const made = xlator.create(init as unknown as XlatorInit<typeof xlator.options>);
  made.bind([], undefined);
  return { ops: made.ops, services, close: async () => {} };
});
