/** The users that this host knows. */
export const accountsPortName = 'accounts';

export interface Accounts {
  /** A user's groups, the primary one among them; or a negative errno, -ENOENT where there is no such user. May take long. */
  groupsOf(uid: number): Promise<readonly number[] | number>;
}
