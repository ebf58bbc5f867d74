/*
 * The reference for bench/fuse-read.ts: a single-threaded libfuse 3 low-level file system with one file of zeros in
 * memory. What a C server needs for one request, and nothing else.
 * Usage: fuse-reference MOUNTPOINT SIZE_BYTES
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *file_name = "file";
static char *content;
static size_t content_size;

static int fill(fuse_ino_t ino, struct stat *st) {
  memset(st, 0, sizeof *st);
  st->st_ino = ino;
  if (ino == FUSE_ROOT_ID) {
    st->st_mode = S_IFDIR | 0755;
    st->st_nlink = 2;
    return 0;
  }
  if (ino != 2) return -1;
  st->st_mode = S_IFREG | 0644;
  st->st_nlink = 1;
  st->st_size = (off_t)content_size;
  return 0;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct fuse_entry_param entry;
  memset(&entry, 0, sizeof entry);
  if (parent != FUSE_ROOT_ID || strcmp(name, file_name) != 0) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  entry.ino = 2;
  entry.attr_timeout = 1.0;
  entry.entry_timeout = 1.0;
  fill(2, &entry.attr);
  fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  struct stat st;
  (void)fi;
  if (fill(ino, &st) != 0)
    fuse_reply_err(req, ENOENT);
  else
    fuse_reply_attr(req, &st, 1.0);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino;
  fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi) {
  (void)ino;
  (void)fi;
  if ((size_t)offset >= content_size) {
    fuse_reply_buf(req, NULL, 0);
    return;
  }
  if (size > content_size - (size_t)offset) size = content_size - (size_t)offset;
  fuse_reply_buf(req, content + offset, size);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
};

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MOUNTPOINT SIZE_BYTES\n", argv[0]);
    return 2;
  }
  content_size = strtoull(argv[2], NULL, 10);
  content = calloc(1, content_size);
  char *words[] = {argv[0], "-o", "default_permissions", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(3, words);
  struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
  if (content == NULL || session == NULL || fuse_set_signal_handlers(session) != 0) return 1;
  if (fuse_session_mount(session, argv[1]) != 0) return 1;
  int result = fuse_session_loop(session);
  fuse_session_unmount(session);
  fuse_session_destroy(session);
  return result == 0 ? 0 : 1;
}
