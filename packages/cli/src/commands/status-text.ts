/** The tables of `volume status`. */
import type {
  BrickDetail,
  CallData,
  ClientData,
  InodeTableData,
  ProcessData,
  VolumeStatusData,
} from '@mortar/glusterd/protocol/replies.ts';
import { taskLines } from './task-lines.ts';

/** Longer names go on in the next line. */
const nameWidth = 43;
const rule = '-'.repeat(78);
const shortRule = '-'.repeat(46);

/** Byte count as `3.9GB`: one decimal, powers of 1024. */
export function sizeText(bytes: number): string {
  const units = ['Bytes', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes}${units[0]}` : `${value.toFixed(1)}${units[unit]}`;
}

function nameText(process: ProcessData): string {
  return process.kind === 'brick'
    ? `Brick ${process.hostname}:${process.path}`
    : `${process.hostname} on ${process.path}`;
}

function rowText(process: ProcessData): string {
  let name = nameText(process);
  let wrapped = '';
  for (; name.length > nameWidth; name = name.slice(nameWidth)) wrapped += `${name.slice(0, nameWidth)}\n`;
  const listens = process.online && process.port > 0;
  const port = (listens ? `${process.port}` : 'N/A').padEnd(10);
  const rdma = (listens ? '0' : 'N/A').padEnd(11);
  const online = (process.online ? 'Y' : 'N').padEnd(8);
  const pid = (process.online ? `${process.pid}` : 'N/A').padEnd(5);
  return `${wrapped}${name.padEnd(nameWidth + 1)}${port}${rdma}${online}${pid}\n`;
}

export function tasksText({ volume, task }: VolumeStatusData): string {
  return `Task Status of Volume ${volume}\n${rule}\n${task ? taskLines(task) : 'There are no active volume tasks\n'} \n`;
}

export function processesText(status: VolumeStatusData, withTasks: boolean): string {
  const head =
    `Status of volume: ${status.volume}\n` +
    `Gluster process                             TCP Port  RDMA Port  Online  Pid\n${rule}\n`;
  const rows = status.processes.map(rowText).join('');
  return `${head}${rows} \n${withTasks ? tasksText(status) : ''}`;
}

function detailText(process: ProcessData): string {
  const row = (label: string, value: string | number) => `${label.padEnd(20)} : ${String(value).padEnd(20)}\n`;
  const listens = process.online && process.port > 0;
  const lines = [
    `${rule}\n`,
    `${'Brick'.padEnd(20)} : ${nameText(process)}\n`,
    row('TCP Port', listens ? process.port : 'N/A'),
    row('RDMA Port', listens ? 0 : 'N/A'),
    row('Online', process.online ? 'Y' : 'N'),
    row('Pid', process.online ? process.pid : 'N/A'),
  ];
  if (process.detail) lines.push(...fileSystemRows(process.detail, row));
  return lines.join('');
}

function fileSystemRows(detail: BrickDetail, row: (label: string, value: string | number) => string): string[] {
  return [
    row('File System', detail.fileSystem),
    row('Device', detail.device),
    row('Mount Options', detail.mountOptions),
    row('Inode Size', detail.inodeSize > 0 ? detail.inodeSize : 'N/A'),
    row('Disk Space Free', sizeText(detail.freeBytes)),
    row('Total Disk Space', sizeText(detail.totalBytes)),
    row('Inode Count', detail.inodes),
    row('Free Inodes', detail.freeInodes),
  ];
}

export function detailsText(status: VolumeStatusData): string {
  return `Status of volume: ${status.volume}\n${status.processes.map(detailText).join('')} \n`;
}

/** A section for each brick between rules. */
function perBrick(title: string, status: VolumeStatusData, body: (process: ProcessData) => string): string {
  const parts = status.processes.map(
    (process) => `${shortRule}\nBrick : ${process.hostname}:${process.path}\n${body(process)}`,
  );
  return `${title}\n${parts.join('')}${shortRule}\n`;
}

export function clientsText(status: VolumeStatusData): string {
  const body = ({ clients = [] }: ProcessData): string => {
    if (clients.length === 0) return 'Clients connected : 0\n';
    const head =
      `Clients connected : ${clients.length}\n` +
      'Hostname                                               BytesRead    BytesWritten       OpVersion\n' +
      '--------                                               ---------    ------------       ---------\n';
    return head + clients.map(clientRow).join('');
  };
  return `${perBrick(`Client connections for volume ${status.volume}`, status, body)}\n`;
}

function clientRow(client: ClientData): string {
  const numbers = [client.bytesRead, client.bytesWritten, client.opVersion];
  return `${client.hostname.padEnd(48)} ${numbers.map((value) => String(value).padStart(15)).join(' ')}\n`;
}

export function clientListText(status: VolumeStatusData): string {
  const counts = new Map<string, number>();
  for (const process of status.processes)
    for (const client of process.clients ?? []) counts.set(client.name, (counts.get(client.name) ?? 0) + 1);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const rows = [...counts].map(([name, count]) => `${name.padEnd(48)} ${String(count).padStart(15)}\n`);
  return (
    `Client connections for volume ${status.volume}\n` +
    'Name                                                       count\n' +
    '-----                                                     ------\n' +
    `${rows.join('')}\ntotal clients for volume ${status.volume} : ${total} \n${'-'.repeat(65)}\n\n`
  );
}

const memoryRows = [
  'Arena',
  'Ordblks',
  'Smblks',
  'Hblks',
  'Hblkhd',
  'Usmblks',
  'Fsmblks',
  'Uordblks',
  'Fordblks',
  'Keepcost',
];

export function memoryText(status: VolumeStatusData): string {
  const body = ({ memory = {} }: ProcessData): string => {
    const rows = memoryRows.map((label) => `${label.padEnd(8)} : ${memory[label.toLowerCase()] ?? 0}\n`);
    return `Mallinfo\n--------\n${rows.join('')} \n`;
  };
  return `${perBrick(`Memory status for volume : ${status.volume}`, status, body)}\n`;
}

export function inodesText(status: VolumeStatusData): string {
  const one = (table: InodeTableData, index: number) =>
    `Connection ${index + 1}:\nLRU limit     : ${table.lruLimit}\nActive Inodes : ${table.active}\n` +
    `LRU Inodes    : ${table.lru}\nPurge Inodes  : ${table.purge}\n \n`;
  const body = ({ inodes = [] }: ProcessData): string => inodes.map(one).join('');
  return perBrick(`Inode tables for volume ${status.volume}`, status, body);
}

export function fdsText(status: VolumeStatusData): string {
  const body = ({ fds = [] }: ProcessData): string =>
    fds
      .map((table, index) => {
        const head = `Connection ${index + 1}:\nRefCount = ${table.refcount}  MaxFDs = ${table.maxFds}  FirstFree = ${table.firstFree}\n`;
        if (table.entries.length === 0) return `${head}No open fds\n \n`;
        const rows = table.entries.map(({ fd, pid, refcount, flags }) =>
          [fd, pid, refcount, flags]
            .map((value) => String(value).padEnd(19))
            .join(' ')
            .trimEnd(),
        );
        const titles = 'FD Entry            PID                 RefCount            Flags';
        const rules = '--------            ---                 --------            -----';
        return `${head}${titles}\n${rules}\n${rows.join('\n')}\n \n`;
      })
      .join('');
  return perBrick(`FD tables for volume ${status.volume}`, status, body);
}

export function callsText(status: VolumeStatusData): string {
  const one = (call: CallData, index: number) =>
    `Call Stack${index + 1}\n UID    : ${call.uid}\n GID    : ${call.gid}\n PID    : ${call.pid}\n` +
    ` Unique : ${call.unique}\n Frames : ${call.frames.length}\n` +
    call.frames.map((frame, i) => ` Frame ${i + 1}\n${frame === '' ? '' : `  ${frame}\n`} \n`).join('');
  const body = ({ calls = [] }: ProcessData): string => `Pending calls: ${calls.length}\n${calls.map(one).join('')}`;
  return perBrick(`Pending calls for volume ${status.volume}`, status, body);
}
