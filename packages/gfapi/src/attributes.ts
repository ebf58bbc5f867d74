/** Attributes by path. */
import type { AttrChange, Iatt } from '@mortar/core';
import { locOf } from '@mortar/core';
import type { CallOptions } from './client.ts';
import type { VolumePath } from './paths.ts';
import type { Places } from './places.ts';
import type { How } from './walk.ts';

export async function changeAttributes(
  places: Places,
  path: VolumePath,
  how: How,
  attr: AttrChange,
  syscall: string,
  options: CallOptions | undefined,
): Promise<Iatt | undefined> {
  if (Object.keys(attr).length === 0) return void (await places.stat(path, how.follow, syscall, options));
  const { post } = await places.at(path, how, syscall, options, async ({ file }) =>
    places.run(options, (top, call) => top.setattr(call, { loc: locOf(file!.gfid), attr })),
  );
  return post;
}
