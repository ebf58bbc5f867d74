/** Prometheus text of several processes as one: a family stands once, each sample says where it comes from. */

export type Labels = Readonly<Record<string, string>>;

export interface Part {
  /** Added to every sample of the text. */
  readonly labels: Labels;
  readonly text: string;
}

interface Family {
  help: string | null;
  type: string | null;
  readonly samples: string[];
}

/** `name{labels} value`; a text of our own processes, yet what does not look so is left out. */
const sample = /^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)$/;

export function mergeMetrics(parts: readonly Part[]): string {
  const families = new Map<string, Family>();
  const familyOf = (name: string): Family => {
    const family = families.get(name) ?? { help: null, type: null, samples: [] };
    families.set(name, family);
    return family;
  };
  for (const { labels, text } of parts) {
    const own = labelText(labels);
    /** Samples of a histogram have names of their own behind the one of their family. */
    let current = '';
    for (const line of text.split('\n')) {
      const [, word, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
      if (word !== undefined) {
        const family = familyOf(name!);
        current = name!;
        if (word === 'HELP') family.help ??= rest!;
        else family.type ??= rest!;
        continue;
      }
      const [, metric, inner, value] = sample.exec(line) ?? [];
      if (metric === undefined) continue;
      const family = familyOf(isOf(current, metric) ? current : metric);
      const all = [own, inner ?? ''].filter((one) => one !== '').join(',');
      family.samples.push(`${metric}${all === '' ? '' : `{${all}}`} ${value}`);
    }
  }
  const lines: string[] = [];
  for (const [name, { help, type, samples }] of families) {
    if (samples.length === 0) continue;
    if (help !== null) lines.push(`# HELP ${name} ${help}`);
    if (type !== null) lines.push(`# TYPE ${name} ${type}`);
    for (const one of samples) lines.push(one);
  }
  return `${lines.join('\n')}\n`;
}

function isOf(family: string, metric: string): boolean {
  return metric === family || [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(metric);
}

export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`)
    .join(',');
}

/** A gauge with its samples, as text. */
export function gaugeText(name: string, help: string, samples: readonly (readonly [Labels, number])[]): string {
  const rows = samples.map(([labels, value]) => {
    const text = labelText(labels);
    return `${name}${text === '' ? '' : `{${text}}`} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...rows, ''].join('\n');
}
