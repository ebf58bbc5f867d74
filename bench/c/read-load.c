/*
 * The load of bench/fuse-read.ts: JOBS threads read 4 KiB at random offsets with O_DIRECT, each read one request of the
 * file system. Prints reads, seconds, and the CPU seconds that the process SERVER_PID used meanwhile.
 * Usage: read-load FILE JOBS SECONDS SERVER_PID
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { block_bytes = 4096 };
static const char *path;
static atomic_int over;
static atomic_long reads;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ticks of user and system time in /proc/PID/stat; the name in parentheses may hold anything. */
static double cpu_seconds(const char *pid) {
  char name[64], text[1024];
  snprintf(name, sizeof name, "/proc/%s/stat", pid);
  FILE *file = fopen(name, "r");
  if (file == NULL) return 0;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  unsigned long user = 0, system = 0;
  char *end = strrchr(text, ')');
  if (end == NULL || sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return 0;
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void *work(void *seed_argument) {
  unsigned seed = (unsigned)(size_t)seed_argument;
  struct stat st;
  void *buffer;
  int fd = open(path, O_RDONLY | O_DIRECT);
  if (fd < 0 || fstat(fd, &st) != 0 || posix_memalign(&buffer, block_bytes, block_bytes) != 0) exit(1);
  long blocks = st.st_size / block_bytes, done = 0;
  while (!atomic_load_explicit(&over, memory_order_relaxed)) {
    off_t at = (off_t)(rand_r(&seed) % blocks) * block_bytes;
    if (pread(fd, buffer, block_bytes, at) != block_bytes) exit(1);
    done++;
  }
  atomic_fetch_add(&reads, done);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  path = argv[1];
  int jobs = atoi(argv[2]);
  double seconds = atof(argv[3]);
  pthread_t threads[64];
  if (jobs < 1 || jobs > 64) return 2;
  double cpu = cpu_seconds(argv[4]), start = now();
  for (int i = 0; i < jobs; i++) pthread_create(&threads[i], NULL, work, (void *)(size_t)(i + 1));
  usleep((useconds_t)(seconds * 1e6));
  atomic_store(&over, 1);
  for (int i = 0; i < jobs; i++) pthread_join(threads[i], NULL);
  printf("%ld %.6f %.2f\n", atomic_load(&reads), now() - start, cpu_seconds(argv[4]) - cpu);
  return 0;
}
