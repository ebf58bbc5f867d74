export function canMakeNetworks(): boolean;
export class Networks {
  constructor(links: number, rate?: string);
  readonly links: number;
  readonly server: string;
  readonly client: string;
  serverAddress(link: number): string;
  clientAddress(link: number): string;
  cut(link: number): void;
  mend(link: number): void;
  silence(link: number): void;
  speak(link: number): void;
  inside(space: string, program: string, words: readonly string[]): [string, ...string[]];
  end(): void;
}
