/*
 * The load of bench/fuse: JOBS threads do one kind of operation in DIRECTORY for SECONDS, or COUNT times together. Prints
 * operations, bytes, seconds, and the CPU seconds that all threads of the process SERVER_PID used meanwhile (0: no server).
 * Usage: fuse-load KIND DIRECTORY JOBS SECONDS COUNT SERVER_PID
 *   fill      makes the files that the other kinds work on: `file.JOB`, 16 MiB each
 *   many      makes COUNT empty files in DIRECTORY
 *   stat      statx of a file, past the kernel's cache      open    open and close
 *   create    COUNT files, each opened and closed           unlink  of those that create has made
 *   read4k write4k                random, O_DIRECT: each is one request
 *   read128k write128k read1m write1m   in sequence, O_DIRECT
 *   bread1m bwrite1m              in sequence, through the page cache, which is dropped before
 *   list      names of DIRECTORY                            listattr  the same, and lstat of each
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { file_bytes = 16 << 20, jobs_max = 64 };
static const char *kind, *directory;
static int jobs;
static long count;
static atomic_int over;
static atomic_long operations, bytes_moved;

static void die(const char *what) {
  fprintf(stderr, "fuse-load %s: %s: %s\n", kind, what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The time on a CPU of all threads, in nanoseconds, is the first number of their schedstat. */
static double cpu_seconds(const char *pid) {
  char path[64], file[384];
  double sum = 0;
  snprintf(path, sizeof path, "/proc/%s/task", pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) return 0;
  for (struct dirent *d = readdir(tasks); d; d = readdir(tasks)) {
    unsigned long long ns = 0;
    snprintf(file, sizeof file, "%s/%s/schedstat", path, d->d_name);
    FILE *f = d->d_name[0] == '.' ? NULL : fopen(file, "r");
    if (f == NULL) continue;
    if (fscanf(f, "%llu", &ns) == 1) sum += (double)ns / 1e9;
    fclose(f);
  }
  closedir(tasks);
  return sum;
}

static int is(const char *name) { return strcmp(kind, name) == 0; }

static void path_of(char *out, const char *prefix, long number) { sprintf(out, "%s/%s%ld", directory, prefix, number); }

static int going(void) { return !atomic_load_explicit(&over, memory_order_relaxed); }

static void move(long job, size_t size, int writing, int direct, int random) {
  char path[4096];
  void *buffer;
  unsigned seed = (unsigned)job + 1;
  long blocks = (long)(file_bytes / size), done = 0;
  path_of(path, "file.", job);
  int fd = open(path, (writing ? O_RDWR : O_RDONLY) | (direct ? O_DIRECT : 0));
  if (fd < 0 || posix_memalign(&buffer, 4096, size) != 0) die(path);
  memset(buffer, 7, size);
  while (going()) {
    long block = random ? rand_r(&seed) % blocks : done % blocks;
    if (!direct && !writing && block == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    off_t at = (off_t)block * (off_t)size;
    ssize_t moved = writing ? pwrite(fd, buffer, size, at) : pread(fd, buffer, size, at);
    if (moved != (ssize_t)size) die(path);
    done++;
  }
  if (writing && !direct && fsync(fd) != 0) die(path);
  close(fd);
  free(buffer);
  atomic_fetch_add(&operations, done);
  atomic_fetch_add(&bytes_moved, done * (long)size);
}

static void many_stats(long job) {
  char path[4096];
  struct statx st;
  long done = 0;
  path_of(path, "file.", job);
  int dir = open(directory, O_PATH | O_DIRECTORY);
  const char *name = strrchr(path, '/') + 1;
  while (going()) {
    if (statx(dir, name, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) != 0) die(path);
    done++;
  }
  close(dir);
  atomic_fetch_add(&operations, done);
}

static void many_opens(long job) {
  char path[4096];
  long done = 0;
  path_of(path, "file.", job);
  while (going()) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) die(path);
    close(fd);
    done++;
  }
  atomic_fetch_add(&operations, done);
}

/* COUNT files in all, each job its own share of the numbers. */
static void many_names(long job, int making, const char *prefix) {
  char path[4096];
  long first = count * job / jobs, end = count * (job + 1) / jobs;
  for (long i = first; i < end; i++) {
    path_of(path, prefix, i);
    if (making) {
      int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
      if (fd < 0) die(path);
      close(fd);
    } else if (unlink(path) != 0)
      die(path);
  }
  atomic_fetch_add(&operations, end - first);
}

static void fill(long job) {
  char path[4096];
  char *buffer = malloc(1 << 20);
  memset(buffer, 1, 1 << 20);
  path_of(path, "file.", job);
  int fd = open(path, O_CREAT | O_WRONLY, 0644);
  if (fd < 0) die(path);
  for (int i = 0; i < file_bytes >> 20; i++)
    if (write(fd, buffer, 1 << 20) != 1 << 20) die(path);
  close(fd);
  free(buffer);
}

static void list(int attributes) {
  struct stat st;
  long done = 0;
  DIR *dir = opendir(directory);
  if (dir == NULL) die(directory);
  for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
    if (attributes && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) die(d->d_name);
    done++;
  }
  closedir(dir);
  atomic_fetch_add(&operations, done);
}

static void *work(void *argument) {
  long job = (long)argument;
  if (is("fill")) fill(job);
  else if (is("many")) many_names(job, 1, "m");
  else if (is("stat")) many_stats(job);
  else if (is("open")) many_opens(job);
  else if (is("create")) many_names(job, 1, "c");
  else if (is("unlink")) many_names(job, 0, "c");
  else if (is("read4k")) move(job, 4096, 0, 1, 1);
  else if (is("write4k")) move(job, 4096, 1, 1, 1);
  else if (is("read128k")) move(job, 128 << 10, 0, 1, 0);
  else if (is("write128k")) move(job, 128 << 10, 1, 1, 0);
  else if (is("read1m")) move(job, 1 << 20, 0, 1, 0);
  else if (is("write1m")) move(job, 1 << 20, 1, 1, 0);
  else if (is("bread1m")) move(job, 1 << 20, 0, 0, 0);
  else if (is("bwrite1m")) move(job, 1 << 20, 1, 0, 0);
  else if (is("list")) list(0);
  else if (is("listattr")) list(1);
  else die("unknown kind");
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[jobs_max];
  if (argc != 7) return 2;
  kind = argv[1];
  directory = argv[2];
  jobs = atoi(argv[3]);
  double seconds = atof(argv[4]);
  count = atol(argv[5]);
  if (jobs < 1 || jobs > jobs_max) return 2;
  double cpu = cpu_seconds(argv[6]), start = now();
  for (long i = 0; i < jobs; i++) pthread_create(&threads[i], NULL, work, (void *)i);
  if (seconds > 0) usleep((useconds_t)(seconds * 1e6));
  atomic_store(&over, 1);
  for (int i = 0; i < jobs; i++) pthread_join(threads[i], NULL);
  printf("%ld %ld %.6f %.6f\n", atomic_load(&operations), atomic_load(&bytes_moved), now() - start,
         cpu_seconds(argv[6]) - cpu);
  return 0;
}
