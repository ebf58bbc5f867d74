export function importsOf(text: string): { specifier: string; line: number; typeOnly: boolean; dynamic: boolean }[];
export function lintImports(root: string): string[];
