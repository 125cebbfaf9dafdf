// What the parts of the stub of libnvidia-ml.so.1 know of each other. Package stub says what the script's lines mean.
#ifndef STUB_H
#define STUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "nvml.h"

enum {
    GPUS = 16,        // physical GPUs at most
    NO_GPU = GPUS,    // calls that are of no GPU
    EVERY_GPU = -1,   // what a line of the script says of all
    INSTANCES = 7,    // MIG instances of a GPU at most
    NAME_LEN = 64,
    TEXT_LEN = 256,
    LINKS = 18,
    PROCESSES = 64,
};

// A rule is what a line of the script does to calls.
enum action { ACT_CODE, ACT_HANG, ACT_SLOW, ACT_CRASH, ACT_ABORT };

struct rule {
    enum action act;
    int gpu;              // or EVERY_GPU
    char fn[NAME_LEN];    // or *
    long arg;             // the code, milliseconds, or how many crashes there are in all (0: no end)
};

struct setting {
    int gpu;
    char name[NAME_LEN];
    char text[TEXT_LEN];  // of "text"
    double number;        // of "set"
};

struct xid {
    int gpu;
    unsigned long long code, sequence;
};

struct process {
    int gpu;
    unsigned pid;
    unsigned long long bytes;
};

// A script is never changed once others see it.
struct script {
    int gpus;
    int order[GPUS];          // which physical GPU each index is
    int mig[GPUS];            // how many instances
    int init;                 // what nvmlInit returns
    bool absent;              // the driver is not loaded
    long generation;          // of the driver; another one means that it was loaded anew
    double epoch;             // when it was loaded: counters count from there
    struct rule *rules;
    struct setting *settings;
    struct xid *xids;         // in the order of their sequence
    struct process *processes;
    int nrules, nsettings, nxids, nprocesses;
};

// script is what the file says now. It never returns NULL, and what it returned stays.
const struct script *script(void);
const struct script *script_anew(void); // looks at the file in any case
const struct rule *rule_for(const struct script *s, enum action act, int gpu, const char *fn);
double number(const struct script *s, int gpu, const char *name, double otherwise);
const char *text(const struct script *s, int gpu, const char *name, const char *otherwise);
bool has_number(const struct script *s, int gpu, const char *name, double *value);
double now(void);
void pause_ms(long ms);
const char *beside(const char *name); // a path in the library's own folder

// A handle is what nvmlDevice_t points to.
struct nvmlDevice_st {
    unsigned magic;
    int gpu;
    int instance;             // of MIG, or -1
    long generation;
    struct nvmlDevice_st *next;
};

struct nvmlEventSet_st {
    unsigned magic;
    long generation;
    atomic_uint registered;   // bits of physical GPUs
    unsigned long long last;  // the newest sequence that was delivered, or was there before the set
};

struct nvmlGpmSample_st {
    int gpu;                  // or NO_GPU
    double at;
};

// A call is one that is under way.
struct call {
    const struct script *s;
    const struct nvmlDevice_st *handle;
    int gpu;
    double up;                // seconds since the driver was loaded
};

nvmlReturn_t enter(struct call *c, const char *fn, atomic_int *slot, const struct nvmlDevice_st *handle, bool of_device);
nvmlReturn_t enter_gpu(struct call *c, const char *fn, atomic_int *slot, int gpu);
void leave(struct call *c);
nvmlReturn_t load(void);
nvmlReturn_t unload(void);
struct nvmlDevice_st *handle_of(int gpu, int instance);
nvmlReturn_t put_text(char *to, unsigned length, const char *from);

// What calls of several versions share.
nvmlReturn_t handle_by_index(unsigned index, nvmlDevice_t *device);
nvmlReturn_t pci_info(const struct call *c, nvmlPciInfo_t *pci);
nvmlReturn_t attributes_of(const struct call *c, nvmlDeviceAttributes_t *attributes);
nvmlReturn_t wait_for(const struct call *c, nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout);
nvmlReturn_t processes_of(const struct call *c, unsigned *count, nvmlProcessInfo_t *infos);

// counts.c
void count_open(void);
int count_slot(const char *fn, atomic_int *slot);
void count_begin(int slot, int gpu);
void count_end(int gpu);
bool count_crash(long most); // false if there were as many already

#define OPEN_CALL(enter_it)                                  \
    static atomic_int slot_ = -1;                            \
    struct call c __attribute__((cleanup(leave))) = {0};     \
    do {                                                     \
        nvmlReturn_t r_ = (enter_it);                        \
        if (r_ != NVML_SUCCESS) return r_;                   \
    } while (0)

// CALL begins a call that is of no GPU, ON one of a device, ON_GPU one of a physical GPU.
#define CALL() OPEN_CALL(enter(&c, __func__, &slot_, NULL, false))
#define ON(d) OPEN_CALL(enter(&c, __func__, &slot_, (d).handle, true))
#define ON_GPU(g) OPEN_CALL(enter_gpu(&c, __func__, &slot_, (g)))
// WANT ends the call if the caller gave no place for an answer.
#define WANT(p) do { if ((p) == NULL) return NVML_ERROR_INVALID_ARGUMENT; } while (0)
// WHOLE ends the call for MIG instances, which do not have what it asks for.
#define WHOLE() do { if (c.handle->instance >= 0) return NVML_ERROR_NOT_SUPPORTED; } while (0)
#define NUMBER_OF(c, name, otherwise) number((c)->s, (c)->gpu, (name), (otherwise))
#define NUMBER(name, otherwise) NUMBER_OF(&c, name, otherwise)

#endif
