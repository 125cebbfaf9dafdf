// The counts of calls: a file beside the library, mapped by every process that has it loaded. Package stub reads it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stub.h"

enum { SLOTS = 256 };

// The layout is known to stub.Calls.
struct counts {
    atomic_ullong crashes;
    atomic_ullong overlaps[GPUS]; // calls on a GPU while the same process had another one under way on it
    struct {
        char fn[NAME_LEN];
        atomic_ullong calls[GPUS + 1];
    } slots[SLOTS];
};

static struct counts *counts;
static int file = -1;
static atomic_int inside[GPUS];
static pthread_mutex_t claiming = PTHREAD_MUTEX_INITIALIZER;

void count_open(void) {
    file = open(beside("calls"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *counts) != 0) abort();
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counts == MAP_FAILED) abort();
}

// count_slot finds the place of a function, which is the same for all processes.
int count_slot(const char *fn, atomic_int *slot) {
    int found = atomic_load(slot);
    if (found >= 0) return found;
    pthread_mutex_lock(&claiming);
    flock(file, LOCK_EX);
    for (found = 0; found < SLOTS && counts->slots[found].fn[0] != 0; found++) {
        if (strcmp(counts->slots[found].fn, fn) == 0) break;
    }
    if (found == SLOTS) abort();
    snprintf(counts->slots[found].fn, NAME_LEN, "%s", fn);
    flock(file, LOCK_UN);
    pthread_mutex_unlock(&claiming);
    atomic_store(slot, found);
    return found;
}

void count_begin(int slot, int gpu) {
    atomic_fetch_add(&counts->slots[slot].calls[gpu], 1);
    if (gpu != NO_GPU && atomic_fetch_add(&inside[gpu], 1) > 0) atomic_fetch_add(&counts->overlaps[gpu], 1);
}

void count_end(int gpu) {
    if (gpu != NO_GPU) atomic_fetch_sub(&inside[gpu], 1);
}

bool count_crash(long most) {
    unsigned long long n = atomic_load(&counts->crashes);
    do {
        if (most > 0 && n >= (unsigned long long)most) return false;
    } while (!atomic_compare_exchange_weak(&counts->crashes, &n, n + 1));
    return true;
}
