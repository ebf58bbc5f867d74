#!/usr/bin/env node
// Checks the directions of docs/architecture.md, section 2: which package may import which, no cycles of files, no
// translator that imports another, and no way around the ports to disk, network, time and chance.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a package's own code may import. Tests may import anything. */
const mayImport = {
  core: [],
  libc: ['core'],
  rpc: ['core'],
  xlators: ['core', 'libc', 'rpc'],
  host: ['core', 'libc', 'rpc', 'xlators'],
  brick: ['core', 'libc', 'rpc', 'xlators', 'host'],
  'fuse-mount': ['core', 'libc', 'rpc', 'xlators', 'host'],
  gfapi: ['core', 'libc', 'rpc', 'xlators', 'host'],
  block: ['core', 'libc', 'rpc', 'xlators', 'host', 'gfapi'],
  glusterd: ['core', 'rpc'],
  cli: ['core', 'rpc'],
  testing: ['core', 'libc', 'rpc', 'xlators', 'host', 'gfapi', 'glusterd'],
};

/** Single files that a package may import beyond that: `[importer, imported]`, both below packages/. */
const alsoAllowed = [
  // How a process daemonizes, its command line, the form of its log and of its state dump are the same for all; these
  // files import nothing but core.
  [/^(glusterd|cli)\//, /^host\/src\/(process|arguments|ports|dump)\//],
  // Marks of a brick's directory are extended attributes, which Node cannot read.
  [/^glusterd\/src\/brick-inspector\.ts$/, /^libc\//],
  // A block device is attached as a FUSE file: the same protocol and descriptor as a mount's, none of its session.
  [/^block\/src\/attach\//, /^fuse-mount\/src\/(protocol|device)\//],
  // Options are data.
  [/^glusterd\//, /^xlators\/src\/([^/]+\/[^/]+|lib)\/options[^/]*\.ts$/],
  // The command line knows glusterd by the types of its protocol.
  [/^cli\//, /^glusterd\/src\/protocol\//],
];

/** Who may touch disk, network, time and chance directly. */
const outside = [
  /^libc\//,
  /^rpc\/src\/transports\//,
  /^xlators\/src\/storage\/posix\//,
  // Processes.
  /^(host|brick|fuse-mount|gfapi|block|glusterd|cli|testing)\//,
];

const outsideModules =
  /^(node:)?(fs|fs\/promises|net|dgram|tls|http|https|http2|timers|timers\/promises|child_process|worker_threads|cluster|os)$/;
const outsideCalls = [
  [/\bDate\.now\s*\(/, 'Date.now'],
  [/\bnew Date\s*\(\s*\)/, 'new Date()'],
  [/\bMath\.random\s*\(/, 'Math.random'],
  [/(?<![.\w#])(setTimeout|setInterval|setImmediate)\s*\(/, 'timers'],
  [/\bperformance\.now\s*\(/, 'performance.now'],
  [/\bprocess\.hrtime\b/, 'process.hrtime'],
];

/** Tests, what only they import (`rig.ts`, `something-rig.ts`), and benchmarks. */
const isTest = (file) => /\.test\.ts$|[/-]rig\.ts$|\.bench\.ts$/.test(file);

/** Removes comments and the insides of strings, but keeps lines and import specifiers apart. */
function code(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`\\])\/\/[^\n]*/g, (comment, before) => before + ' '.repeat(comment.length - before.length));
}

/** Every imported specifier, with its line and whether only types are taken. */
export function importsOf(text) {
  const found = [];
  const source = code(text);
  const pattern =
    /(?:^|[\s;])(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?['"]([^'"]+)['"]|import\s*\(\s*['"]([^'"]+)['"]\s*\)/g;
  for (const match of source.matchAll(pattern)) {
    const line = source.slice(0, match.index).split('\n').length + (match[0].startsWith('\n') ? 1 : 0);
    found.push({
      specifier: match[2] ?? match[3],
      line,
      typeOnly: match[1] !== undefined,
      dynamic: match[3] !== undefined,
    });
  }
  return found;
}

function filesBelow(path) {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(child);
    return entry.name.endsWith('.ts') ? [child] : [];
  });
}

/** `host/src/index.ts` for `@mortar/host` or a relative path; undefined for what is not ours. */
function resolveImport(packages, file, specifier) {
  if (specifier.startsWith('.')) return relative(packages, resolve(packages, dirname(file), specifier));
  const match = /^@mortar\/([^/]+)(?:\/(.+))?$/.exec(specifier);
  return match ? normalize(`${match[1]}/src/${match[2] ?? 'index.ts'}`) : undefined;
}

/** `cluster/replicate` for a file in that translator's folder. */
function xlatorOf(file) {
  const match = /^xlators\/src\/([^/]+)\/([^/]+)\//.exec(file);
  return match && match[1] !== 'lib' ? `${match[1]}/${match[2]}` : undefined;
}

function checkImport(file, target, where) {
  const from = file.split('/')[0];
  const to = target.split('/')[0];
  if (from !== to) {
    const exempt = alsoAllowed.some(([importer, imported]) => importer.test(file) && imported.test(target));
    if (!exempt && !(mayImport[from] ?? []).includes(to)) return [`${where}: ${from} must not import ${to}`];
    return [];
  }
  const mine = xlatorOf(file);
  const other = xlatorOf(target);
  if (mine && other && mine !== other) return [`${where}: translator ${mine} must not import translator ${other}`];
  return [];
}

function checkOutside(file, text, imports, where) {
  if (outside.some((allowed) => allowed.test(file))) return [];
  const problems = imports
    .filter(({ specifier, typeOnly }) => !typeOnly && outsideModules.test(specifier))
    .map(({ specifier, line }) => `${where}:${line}: ${specifier} is reached only through ports here`);
  code(text)
    .split('\n')
    .forEach((line, i) => {
      for (const [pattern, name] of outsideCalls)
        if (pattern.test(line)) problems.push(`${where}:${i + 1}: ${name} is reached only through ports here`);
    });
  return problems;
}

/**
 * Cycles among files, by imports that run (not types, not dynamic ones); each once. Within one folder, which is one
 * piece of work, files may need each other.
 */
function cycles(graph) {
  const state = new Map();
  const found = [];
  const visit = (file, path) => {
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === 'open') found.push([...path.slice(path.indexOf(next)), next].join(' -> '));
      else if (!state.has(next)) visit(next, [...path, next]);
    }
    state.set(file, 'done');
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file, [file]);
  return found
    .filter((cycle) => new Set(cycle.split(' -> ').map((file) => dirname(file))).size > 1)
    .map((cycle) => `cycle of imports: ${cycle}`);
}

/** All problems below `root`/packages, as lines of text. */
export function lintImports(root) {
  const packages = join(root, 'packages');
  const problems = [];
  const graph = new Map();
  const folders = readdirSync(packages).filter((name) => existsSync(join(packages, name, 'src')));
  for (const name of folders)
    if (!(name in mayImport)) problems.push(`packages/${name}: no direction is set for this package`);
  for (const path of folders.flatMap((name) => filesBelow(join(packages, name, 'src')))) {
    const file = relative(packages, path);
    if (isTest(file)) continue;
    const text = readFileSync(path, 'utf8');
    const where = `packages/${file}`;
    const imports = importsOf(text);
    const runs = [];
    for (const { specifier, line, typeOnly, dynamic } of imports) {
      const target = resolveImport(packages, file, specifier);
      if (target === undefined) continue;
      problems.push(...checkImport(file, target, `${where}:${line}`));
      if (!typeOnly && !dynamic && existsSync(join(packages, target))) runs.push(target);
    }
    graph.set(file, runs);
    problems.push(...checkOutside(file, text, imports, where));
  }
  return [...problems, ...cycles(graph)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = lintImports(dirname(dirname(fileURLToPath(import.meta.url))));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error(`${problems.length} problem(s) with the directions of imports (docs/architecture.md, section 2)`);
    process.exit(1);
  }
}
