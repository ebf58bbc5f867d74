import type { ProcessData, VolumeStatusData } from '@mortar/glusterd/protocol/replies.ts';
import type { StatusSection } from '@mortar/glusterd/protocol/requests.ts';
import { type Element, element } from '../xml.ts';
import { taskElement } from './task-text.ts';

export function statusElement(status: VolumeStatusData, section: StatusSection | undefined, tasks: boolean): Element {
  const task = element('tasks', status.task ? [taskElement(status.task)] : [], 'task');
  if (section === 'tasks') return element('volume', [element('volName', status.volume), task]);
  const content = [
    element('volName', status.volume),
    element('nodeCount', status.processes.length),
    ...status.processes.map((process) => nodeElement(process, section)),
    ...(tasks ? [task] : []),
  ];
  return element('volume', content, 'node');
}

function nodeElement(process: ProcessData, section: StatusSection | undefined): Element {
  const port = process.online && process.port > 0 ? process.port : 'N/A';
  return element('node', [
    element('hostname', process.hostname),
    element('path', process.path),
    element('peerid', process.peerId),
    element('status', process.online ? 1 : 0),
    element('port', port),
    element('ports', [element('tcp', port), element('rdma', 'N/A')]),
    element('pid', process.online ? process.pid : -1),
    ...sectionElements(process, section),
  ]);
}

function sectionElements(process: ProcessData, section: StatusSection | undefined): Element[] {
  if (section === 'detail') return detailElements(process);
  if (section === 'clients' || section === 'client-list') return [clientsElement(process)];
  if (section === 'mem') {
    const rows = Object.entries(process.memory ?? {}).map(([name, value]) => element(name, value));
    return [element('memStatus', [element('mallinfo', rows)])];
  }
  if (section === 'inode') {
    const tables = (process.inodes ?? []).map((table) =>
      element('connection', [
        element('inodeTable', [
          element('lruLimit', table.lruLimit),
          element('activeInodes', table.active),
          element('lruInodes', table.lru),
          element('purgeInodes', table.purge),
        ]),
      ]),
    );
    return [element('inodeStatus', [element('connections', tables.length), ...tables], 'connection')];
  }
  if (section === 'fd') {
    const tables = (process.fds ?? []).map((table) =>
      element('connection', [
        element('fdTable', [
          element('refCount', table.refcount),
          element('maxFds', table.maxFds),
          element('firstFree', table.firstFree),
        ]),
      ]),
    );
    return [element('fdStatus', [element('connections', tables.length), ...tables], 'connection')];
  }
  if (section === 'callpool') return [element('callpoolStatus', [element('count', process.calls?.length ?? 0)])];
  return [];
}

function detailElements({ detail }: ProcessData): Element[] {
  if (!detail) return [];
  return [
    element('sizeTotal', detail.totalBytes),
    element('sizeFree', detail.freeBytes),
    element('device', detail.device),
    element('blockSize', detail.blockSize),
    element('mntOptions', detail.mountOptions),
    element('fsName', detail.fileSystem),
    // GlusterFS puts the name of the file system here; programs expect what they have always seen.
    element('inodeSize', detail.fileSystem),
    element('inodesTotal', detail.inodes),
    element('inodesFree', detail.freeInodes),
  ];
}

function clientsElement({ clients = [] }: ProcessData): Element {
  const rows = clients.map((client) =>
    element('client', [
      element('hostname', client.hostname),
      element('bytesRead', client.bytesRead),
      element('bytesWrite', client.bytesWritten),
      element('opVersion', client.opVersion),
    ]),
  );
  return element('clientsStatus', [element('clientCount', clients.length), ...rows], 'client');
}
