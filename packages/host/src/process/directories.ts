/**
 * Where processes keep what is not a volume's: GlusterFS's places, unless the environment moves them (tests, several
 * installations on one machine).
 */
export const logDirectory = process.env.MORTAR_LOG_DIRECTORY ?? '/var/log/glusterfs';
/** Pid files, sockets and state dumps. */
export const runDirectory = process.env.MORTAR_RUN_DIRECTORY ?? '/var/run/gluster';
