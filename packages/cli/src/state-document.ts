/** The text of `get-state` as one document: sections, in them peers, volumes and their bricks as lists. Values are as the text has them. */

type Value = string | Fields | Fields[];
interface Fields {
  [name: string]: Value;
}

/** `Volume2.Brick1.path` is the path of the first brick of the second volume; other dots are part of a name. */
const numbered = /^(Peer|Volume|Brick)(\d+)\.(.+)$/s;
const listNames = { Peer: 'list', Volume: 'list', Brick: 'bricks' } as const;

export function stateDocument(text: string): Record<string, Value> {
  const document: Record<string, Value> = {};
  let section: Fields = {};
  let name = '';
  const put = () => {
    if (name !== '')
      document[name] = name === 'Peers' || name === 'Volumes' ? ((section.list as Fields[]) ?? []) : section;
  };
  for (const line of text.split('\n')) {
    const title = /^\[(.+)\]$/.exec(line);
    if (title) {
      put();
      [name, section] = [title[1]!, {}];
      continue;
    }
    const colon = line.indexOf(': ');
    if (colon > 0) place(section, line.slice(0, colon), line.slice(colon + 2));
  }
  put();
  return document;
}

function place(into: Fields, key: string, value: string): void {
  const [, kind, number, rest] = numbered.exec(key) ?? [];
  if (rest !== undefined) {
    const listName = listNames[kind as keyof typeof listNames];
    into[listName] ??= [];
    const list = into[listName] as Fields[];
    list[Number(number) - 1] ??= {};
    place(list[Number(number) - 1]!, rest, value);
  } else if (key.startsWith('options.')) {
    into.options ??= {};
    (into.options as Fields)[key.slice('options.'.length)] = value;
  } else into[key] = value;
}
