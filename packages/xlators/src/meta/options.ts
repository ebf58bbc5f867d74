/** It has none. */
export const options = {} as const;
