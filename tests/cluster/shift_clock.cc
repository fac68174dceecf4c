// Put before the C library of a process under test (LD_PRELOAD), shifts its wall clock as
// wall_clock.h says. Nothing else is here, and nothing of ours is linked to it.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::atomic<int64_t*> shared{nullptr};

// May be asked for before constructors have run, and from any thread.
int64_t shift() {
  int64_t* at = shared.load(std::memory_order_acquire);
  if (at == nullptr) {
    const char* path = ::getenv("KEELSON_TEST_CLOCK_SHIFT");
    const int fd = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    void* mapped = ::mmap(nullptr, sizeof *at, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    if (mapped == MAP_FAILED) return 0;
    at = static_cast<int64_t*>(mapped);
    shared.store(at, std::memory_order_release);
  }
  return std::atomic_ref<int64_t>(*at).load(std::memory_order_relaxed);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) {
  const long done = ::syscall(SYS_clock_gettime, clock, out);
  if (done != 0) return static_cast<int>(done);
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return 0;
  const int64_t now = out->tv_sec * kSecond + out->tv_nsec + shift();
  out->tv_sec = now / kSecond;
  out->tv_nsec = now % kSecond;
  return 0;
}

int gettimeofday(timeval* __restrict out, void* __restrict) {
  timespec now{};
  const int done = clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return done;
}

time_t time(time_t* out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
