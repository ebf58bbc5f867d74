// small-files OP DIR N WRITERS [SIZE]: N operations spread over WRITERS processes, each in its own directory DIR/p<k>.
// Prints the seconds from the common start to the end of the last process. OPs: create stat read unlink mkdir rmdir
// rename chmod setxattr append fsync (one file a process, N appends of SIZE, each synced) overwrite (O_DIRECT, random
// places in a file that `fill` made) fill and scan (sequential write with a final sync, and read, N blocks of SIZE).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void need(int good, const char *what, const char *path) {
  if (good) return;
  fprintf(stderr, "small-files: %s %s: %s\n", what, path, strerror(errno));
  _exit(1);
}

static void one(const char *op, const char *path, const char *renamed, char *data, size_t size) {
  struct stat st;
  int fd;
  ssize_t got;
  if (!strcmp(op, "create")) {
    need((fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644)) >= 0, op, path);
    need(size == 0 || write(fd, data, size) == (ssize_t)size, "write", path);
    need(close(fd) == 0, "close", path);
  } else if (!strcmp(op, "append")) {
    need((fd = open(path, O_WRONLY | O_APPEND)) >= 0, op, path);
    need(write(fd, data, size) == (ssize_t)size, "write", path);
    need(close(fd) == 0, "close", path);
  } else if (!strcmp(op, "read")) {
    need((fd = open(path, O_RDONLY)) >= 0, op, path);
    while ((got = read(fd, data, size)) > 0);
    need(got == 0, "read", path);
    close(fd);
  } else if (!strcmp(op, "stat")) need(lstat(path, &st) == 0, op, path);
  else if (!strcmp(op, "chmod")) need(chmod(path, 0600) == 0, op, path);
  else if (!strcmp(op, "setxattr")) need(setxattr(path, "user.bench", "v", 1, 0) == 0, op, path);
  else if (!strcmp(op, "unlink")) need(unlink(path) == 0, op, path);
  else if (!strcmp(op, "mkdir")) need(mkdir(path, 0755) == 0, op, path);
  else if (!strcmp(op, "rmdir")) need(rmdir(path) == 0, op, path);
  else if (!strcmp(op, "rename")) need(rename(path, renamed) == 0, op, path);
  else need((errno = EINVAL, 0), "unknown operation", op);
}

static void blocks(const char *op, const char *path, int count, char *data, size_t size) {
  int fd;
  if (!strcmp(op, "fsync")) {
    need((fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644)) >= 0, op, path);
    for (int i = 0; i < count; i++) {
      need(write(fd, data, size) == (ssize_t)size, "write", path);
      need(fsync(fd) == 0, "fsync", path);
    }
  } else if (!strcmp(op, "fill")) {
    need((fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644)) >= 0, op, path);
    for (int i = 0; i < count; i++) need(write(fd, data, size) == (ssize_t)size, "write", path);
    need(fsync(fd) == 0, "fsync", path);
  } else if (!strcmp(op, "scan")) {
    need((fd = open(path, O_RDONLY)) >= 0, op, path);
    for (int i = 0; i < count; i++) need(read(fd, data, size) == (ssize_t)size, "read", path);
  } else {
    struct stat st;
    need((fd = open(path, O_WRONLY | O_DIRECT)) >= 0, op, path);
    need(fstat(fd, &st) == 0 && st.st_size >= (off_t)size, "fstat", path);
    unsigned seed = 12345;
    for (int i = 0; i < count; i++)
      need(pwrite(fd, data, size, (off_t)(rand_r(&seed) % (st.st_size / size)) * size) == (ssize_t)size, op, path);
  }
  need(close(fd) == 0, "close", path);
}

static int is_blocks(const char *op) {
  return !strcmp(op, "fsync") || !strcmp(op, "fill") || !strcmp(op, "scan") || !strcmp(op, "overwrite");
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: small-files OP DIR N WRITERS [SIZE]\n");
    return 2;
  }
  const char *op = argv[1], *dir = argv[2];
  int total = atoi(argv[3]), writers = atoi(argv[4]), gate[2], status, bad = 0;
  size_t size = argc > 5 ? strtoul(argv[5], NULL, 10) : 4096;
  char *data;
  if (posix_memalign((void **)&data, 4096, size + 4096) || pipe(gate)) return 2;
  for (size_t i = 0; i < size; i++) data[i] = (char)(i * 131 + 7);
  int makes = !strcmp(op, "create") || !strcmp(op, "mkdir") || !strcmp(op, "fsync") || !strcmp(op, "fill");
  for (int k = 0; k < writers; k++) {
    if (fork()) continue;
    char place[4000], path[4100], renamed[4100], byte;
    close(gate[1]);
    snprintf(place, sizeof place, "%s/p%d", dir, k);
    if (makes) {
      mkdir(dir, 0755);
      need(mkdir(place, 0755) == 0 || errno == EEXIST, "mkdir", place);
    }
    while (read(gate[0], &byte, 1) < 0 && errno == EINTR);
    int count = total / writers + (k < total % writers);
    if (is_blocks(op)) {
      snprintf(path, sizeof path, "%s/%s", place, strcmp(op, "fsync") ? "big" : "log");
      blocks(op, path, count, data, size);
    } else
      for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/f%06d", place, i);
        snprintf(renamed, sizeof renamed, "%s/r%06d", place, i);
        one(op, path, renamed, data, size);
      }
    _exit(0);
  }
  close(gate[0]);
  usleep(20000 * writers);
  double start = now();
  close(gate[1]);
  for (int k = 0; k < writers; k++) {
    wait(&status);
    bad |= status;
  }
  printf("%.4f\n", now() - start);
  return bad ? 1 : 0;
}
