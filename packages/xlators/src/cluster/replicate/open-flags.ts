/** The open(2) flags that replicate looks at (Linux). */
export const openFlag = { O_ACCMODE: 0o3, O_RDONLY: 0, O_TRUNC: 0o1000 } as const;
