/* A recording of the CUDA runtime, for tests: no GPU, nothing of it looks like one.
 *
 * "Device" memory is the host's, copies happen at once, a clock ticks 1 ms per recorded event.
 * It is strict where the real one is or may be: a copy must stay within memory that was given and
 * not freed, its host side must be pinned, and an event has a time only after its stream was
 * waited for. Every call is a line in $RECORDING_LOG. $RECORDING_GPU is the GPU's name,
 * $RECORDING_CUDA_FAILS the name of a function that fails.
 *
 * scripts/tensorrt-stubs.py compiles it with the real headers (-DCUDA_HEADER), so its prototypes
 * and constants are theirs.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CUDA_HEADER
#include <cuda_runtime_api.h>
_Static_assert(cudaMemcpyHostToDevice == 1 && cudaMemcpyDeviceToHost == 2, "copy kinds");
_Static_assert(cudaDevAttrComputeCapabilityMajor == 75, "major");
_Static_assert(cudaDevAttrComputeCapabilityMinor == 76, "minor");
_Static_assert(offsetof(struct cudaDeviceProp, name) == 0, "the name comes first");
_Static_assert(sizeof(struct cudaDeviceProp) < 8192, "the agent's buffer");
#else
typedef int cudaError_t;
typedef void *cudaStream_t, *cudaEvent_t;
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaDeviceAttr { CAPABILITY };
struct cudaDeviceProp { char name[256]; };
enum { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2,
       cudaErrorNotReady = 600 };
#endif

enum { MOST = 64, DEVICE = 0, PINNED = 1 };
static struct { char *at; size_t size; int kind; } given[MOST];
static struct { int made, recorded, done; float ms; } events[MOST];
static float now_ms;

static cudaError_t called(const char *name, size_t number)
{
    const char *path = getenv("RECORDING_LOG"), *fails = getenv("RECORDING_CUDA_FAILS");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (log) {
        fprintf(log, "%s %zu\n", name, number);
        fclose(log);
    }
    return fails && strcmp(fails, name) == 0 ? cudaErrorMemoryAllocation : cudaSuccess;
}

static int within(const void *address, size_t size, int kind)
{
    for (int i = 0; i < MOST; i++)
        if (given[i].at && given[i].kind == kind && (const char *)address >= given[i].at
            && (const char *)address + size <= given[i].at + given[i].size)
            return 1;
    return 0;
}

static cudaError_t give(const char *name, void **address, size_t size, int kind)
{
    if (called(name, size) != cudaSuccess)
        return cudaErrorMemoryAllocation;
    for (int i = 0; i < MOST; i++)
        if (!given[i].at) {
            given[i].at = calloc(1, size);
            given[i].size = size;
            given[i].kind = kind;
            *address = given[i].at;
            return cudaSuccess;
        }
    return cudaErrorMemoryAllocation;
}

static cudaError_t take(const char *name, void *address, int kind)
{
    called(name, 0);
    for (int i = 0; i < MOST; i++)
        if (given[i].at && given[i].at == address && given[i].kind == kind) {
            free(given[i].at);
            given[i].at = NULL;
            return cudaSuccess;
        }
    return cudaErrorInvalidValue;
}

static int is_event(cudaEvent_t event)
{
    uintptr_t number = (uintptr_t)event;
    return number > 0 && number < MOST && events[number].made;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch ((int)error) {
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNotReady: return "device not ready";
    default: return "invalid argument";
    }
}

cudaError_t cudaDriverGetVersion(int *version) { *version = 0; return cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { *device = 0; return cudaSuccess; }

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    (void)attribute, (void)device;
    *value = 0;
    return cudaSuccess;
}

#undef cudaGetDeviceProperties
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    const char *name = getenv("RECORDING_GPU");
    (void)device;
    snprintf(properties->name, sizeof properties->name, "%s", name ? name : "recording");
    return called("cudaGetDeviceProperties", 0);
}

cudaError_t cudaMalloc(void **address, size_t size)
{
    return give("cudaMalloc", address, size, DEVICE);
}

cudaError_t cudaMallocHost(void **address, size_t size)
{
    return give("cudaMallocHost", address, size, PINNED);
}

cudaError_t cudaFree(void *address) { return take("cudaFree", address, DEVICE); }
cudaError_t cudaFreeHost(void *address) { return take("cudaFreeHost", address, PINNED); }

cudaError_t cudaMemcpyAsync(
    void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    int there = kind == cudaMemcpyHostToDevice;
    called(there ? "cudaMemcpyAsync to the device" : "cudaMemcpyAsync to the host", size);
    if (!stream || !within(to, size, there ? DEVICE : PINNED)
        || !within(from, size, there ? PINNED : DEVICE))
        return cudaErrorInvalidValue;
    memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = (cudaStream_t)(uintptr_t)0x5eed;
    return called("cudaStreamCreate", 0);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    for (int i = 0; i < MOST; i++)
        events[i].done = events[i].recorded;
    return stream ? called("cudaStreamSynchronize", 0) : cudaErrorInvalidValue;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return stream ? called("cudaStreamDestroy", 0) : cudaErrorInvalidValue;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    uintptr_t number = 1;
    while (events[number].made)
        number++;
    events[number].made = 1;
    *event = (cudaEvent_t)number;
    return called("cudaEventCreate", number);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (!is_event(event) || !stream)
        return cudaErrorInvalidValue;
    events[(uintptr_t)event].recorded = 1;
    events[(uintptr_t)event].done = 0;
    events[(uintptr_t)event].ms = now_ms += 1;
    return called("cudaEventRecord", (uintptr_t)event);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (!is_event(event))
        return cudaErrorInvalidValue;
    events[(uintptr_t)event].done = events[(uintptr_t)event].recorded;
    return called("cudaEventSynchronize", (uintptr_t)event);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    if (!is_event(start) || !is_event(end))
        return cudaErrorInvalidValue;
    if (!events[(uintptr_t)start].done || !events[(uintptr_t)end].done)
        return cudaErrorNotReady;
    *ms = events[(uintptr_t)end].ms - events[(uintptr_t)start].ms;
    return called("cudaEventElapsedTime", (uintptr_t)end);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    if (!is_event(event))
        return cudaErrorInvalidValue;
    events[(uintptr_t)event].made = 0;
    return called("cudaEventDestroy", (uintptr_t)event);
}
