/*
 * The reference of bench/fuse: a single-threaded libfuse 3 low-level file system that keeps everything in memory, as
 * plainly as C can. Files are one piece of memory, names are in one hash table, a directory lists them in the order in
 * which they came. Flush is answered, not refused: a file system over a network needs it.
 * Usage: fuse-memory MOUNTPOINT
 */
#define FUSE_USE_VERSION 34
#define _GNU_SOURCE
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double valid_seconds = 1.0;

struct entry;

struct node {
  struct stat st;
  uint64_t lookups;
  char *bytes;
  size_t room;
  /* Directories: entries by position; a removed one is NULL. */
  struct entry **entries;
  size_t count, places;
};

struct entry {
  struct entry *next;
  struct node *parent, *node;
  size_t place;
  uint32_t hash;
  char name[];
};

static struct node *root;
static struct entry **table;
static size_t table_size = 1 << 20;
static ino_t next_ino = FUSE_ROOT_ID;

static struct node *node_of(fuse_ino_t ino) { return ino == FUSE_ROOT_ID ? root : (struct node *)(uintptr_t)ino; }

static uint32_t hash_of(const struct node *parent, const char *name) {
  uint32_t h = 2166136261u ^ (uint32_t)((uintptr_t)parent >> 4);
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h;
}

static struct entry *find(struct node *parent, const char *name) {
  uint32_t h = hash_of(parent, name);
  for (struct entry *e = table[h & (table_size - 1)]; e; e = e->next)
    if (e->hash == h && e->parent == parent && strcmp(e->name, name) == 0) return e;
  return NULL;
}

static struct node *make_node(mode_t mode, uid_t uid, gid_t gid) {
  struct node *n = calloc(1, sizeof *n);
  n->st.st_ino = next_ino++;
  n->st.st_mode = mode;
  n->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
  n->st.st_uid = uid;
  n->st.st_gid = gid;
  n->st.st_blksize = 4096;
  clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
  n->st.st_atim = n->st.st_ctim = n->st.st_mtim;
  return n;
}

static void add_entry(struct node *parent, const char *name, struct node *node) {
  struct entry *e = malloc(sizeof *e + strlen(name) + 1);
  strcpy(e->name, name);
  e->parent = parent;
  e->node = node;
  e->hash = hash_of(parent, name);
  struct entry **head = &table[e->hash & (table_size - 1)];
  e->next = *head;
  *head = e;
  if (parent->count == parent->places) {
    parent->places = parent->places ? parent->places * 2 : 16;
    parent->entries = realloc(parent->entries, parent->places * sizeof *parent->entries);
  }
  e->place = parent->count;
  parent->entries[parent->count++] = e;
  clock_gettime(CLOCK_REALTIME, &parent->st.st_mtim);
  parent->st.st_ctim = parent->st.st_mtim;
}

static void reap(struct node *n) {
  if (n == root || n->lookups > 0 || n->st.st_nlink > 0) return;
  free(n->bytes);
  free(n->entries);
  free(n);
}

static void remove_entry(struct entry *e) {
  struct entry **at = &table[e->hash & (table_size - 1)];
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  e->parent->entries[e->place] = NULL;
  while (e->parent->count > 0 && e->parent->entries[e->parent->count - 1] == NULL) e->parent->count--;
  clock_gettime(CLOCK_REALTIME, &e->parent->st.st_mtim);
  e->node->st.st_nlink = 0;
  reap(e->node);
  free(e);
}

static void fill(struct node *n, struct fuse_entry_param *out) {
  memset(out, 0, sizeof *out);
  out->ino = n == root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n;
  out->attr = n->st;
  out->attr_timeout = out->entry_timeout = valid_seconds;
}

static void on_init(void *data, struct fuse_conn_info *conn) {
  (void)data;
  conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS);
  conn->max_write = 1 << 20;
  conn->max_background = 64;
  conn->congestion_threshold = 48;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct fuse_entry_param out;
  struct entry *e = find(node_of(parent), name);
  if (e == NULL) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  e->node->lookups++;
  fill(e->node, &out);
  fuse_reply_entry(req, &out);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
  struct node *n = node_of(ino);
  n->lookups -= count < n->lookups ? count : n->lookups;
  reap(n);
  fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) {
  for (size_t i = 0; i < count; i++) {
    struct node *n = node_of(forgets[i].ino);
    n->lookups -= forgets[i].nlookup < n->lookups ? forgets[i].nlookup : n->lookups;
    reap(n);
  }
  fuse_reply_none(req);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)fi;
  fuse_reply_attr(req, &node_of(ino)->st, valid_seconds);
}

static int make_room(struct node *n, size_t size) {
  if (size <= n->room) return 0;
  size_t room = n->room ? n->room : 4096;
  while (room < size) room *= 2;
  char *bytes = realloc(n->bytes, room);
  if (bytes == NULL) return -1;
  memset(bytes + n->room, 0, room - n->room);
  n->bytes = bytes;
  n->room = room;
  return 0;
}

static void set_size(struct node *n, size_t size) {
  n->st.st_size = (off_t)size;
  n->st.st_blocks = (blkcnt_t)((size + 511) / 512);
}

static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  if (what & FUSE_SET_ATTR_SIZE) {
    if (make_room(n, (size_t)st->st_size) != 0) {
      fuse_reply_err(req, ENOSPC);
      return;
    }
    if (st->st_size < n->st.st_size) memset(n->bytes + st->st_size, 0, (size_t)(n->st.st_size - st->st_size));
    set_size(n, (size_t)st->st_size);
  }
  if (what & FUSE_SET_ATTR_MODE) n->st.st_mode = (n->st.st_mode & S_IFMT) | (st->st_mode & 07777);
  if (what & FUSE_SET_ATTR_UID) n->st.st_uid = st->st_uid;
  if (what & FUSE_SET_ATTR_GID) n->st.st_gid = st->st_gid;
  clock_gettime(CLOCK_REALTIME, &n->st.st_ctim);
  fuse_reply_attr(req, &n->st, valid_seconds);
}

static struct node *make_at(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
  const struct fuse_ctx *ctx = fuse_req_ctx(req);
  if (find(node_of(parent), name) != NULL) {
    fuse_reply_err(req, EEXIST);
    return NULL;
  }
  struct node *n = make_node(mode, ctx->uid, ctx->gid);
  n->lookups = 1;
  add_entry(node_of(parent), name, n);
  return n;
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
  struct fuse_entry_param out;
  struct node *n = make_at(req, parent, name, S_IFDIR | mode);
  if (n == NULL) return;
  fill(n, &out);
  fuse_reply_entry(req, &out);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi) {
  struct fuse_entry_param out;
  struct node *n = make_at(req, parent, name, S_IFREG | mode);
  if (n == NULL) return;
  fill(n, &out);
  fuse_reply_create(req, &out, fi);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct entry *e = find(node_of(parent), name);
  if (e == NULL) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  remove_entry(e);
  fuse_reply_err(req, 0);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino;
  fuse_reply_open(req, fi);
}

static void on_done(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino;
  (void)fi;
  fuse_reply_err(req, 0);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  if (offset >= n->st.st_size) {
    fuse_reply_buf(req, NULL, 0);
    return;
  }
  if (size > (size_t)(n->st.st_size - offset)) size = (size_t)(n->st.st_size - offset);
  fuse_reply_buf(req, n->bytes + offset, size);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  if (make_room(n, (size_t)offset + size) != 0) {
    fuse_reply_err(req, ENOSPC);
    return;
  }
  memcpy(n->bytes + offset, data, size);
  if (offset + (off_t)size > n->st.st_size) set_size(n, (size_t)offset + size);
  clock_gettime(CLOCK_REALTIME, &n->st.st_mtim);
  n->st.st_ctim = n->st.st_mtim;
  fuse_reply_write(req, size);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, int plus) {
  struct node *n = node_of(ino);
  struct fuse_entry_param out;
  char *buffer = malloc(size);
  size_t used = 0;
  for (size_t i = (size_t)offset; i < n->count; i++) {
    struct entry *e = n->entries[i];
    if (e == NULL) continue;
    size_t bytes;
    if (plus) {
      fill(e->node, &out);
      bytes = fuse_add_direntry_plus(req, buffer + used, size - used, e->name, &out, (off_t)i + 1);
    } else
      bytes = fuse_add_direntry(req, buffer + used, size - used, e->name, &e->node->st, (off_t)i + 1);
    if (bytes > size - used) break;
    if (plus) e->node->lookups++;
    used += bytes;
  }
  fuse_reply_buf(req, buffer, used);
  free(buffer);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi) {
  (void)fi;
  list(req, ino, size, offset, 0);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi) {
  (void)fi;
  list(req, ino, size, offset, 1);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .mkdir = on_mkdir,
    .create = on_create,
    .unlink = on_unlink,
    .rmdir = on_unlink,
    .open = on_open,
    .opendir = on_open,
    .read = on_read,
    .write = on_write,
    .flush = on_done,
    .release = on_done,
    .releasedir = on_done,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
};

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s MOUNTPOINT\n", argv[0]);
    return 2;
  }
  table = calloc(table_size, sizeof *table);
  root = make_node(S_IFDIR | 0755, 0, 0);
  char *words[] = {argv[0], "-o", "default_permissions,allow_other", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(3, words);
  struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
  if (table == NULL || session == NULL || fuse_set_signal_handlers(session) != 0) return 1;
  if (fuse_session_mount(session, argv[1]) != 0) return 1;
  int result = fuse_session_loop(session);
  fuse_session_unmount(session);
  fuse_session_destroy(session);
  return result == 0 ? 0 : 1;
}
