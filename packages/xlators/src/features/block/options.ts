/** None: which devices there are is said by the directories of the volume. */
export const options = {} as const;
