#include "http/cpu_sampler.h"

#include <execinfo.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/check.h"

namespace keelson::http {
namespace {

constexpr int kFrames = 64;
// Those of the signal's own handling, above the interrupted function.
constexpr int kOwnFrames = 4;
constexpr size_t kMostSamples = 65536;
constexpr int64_t kPeriodMicros = 10'000;

struct Stack {
  std::atomic<int> depth;  // 0: not written yet
  std::array<void*, kFrames + kOwnFrames> frames;
  uint64_t interrupted;
};

// Memory that the kernel gives as it is written, and that is all zeros before.
struct Buffer {
  std::atomic<size_t> next;
  Stack stacks[kMostSamples];
};

std::atomic<bool> taken = false;        // a sampler is there
std::atomic<Buffer*> buffer = nullptr;  // while it notes
std::atomic<int> noting = 0;            // handlers under way

uint64_t interrupted_at(void* context) {
#if defined(__x86_64__)
  return static_cast<uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return static_cast<ucontext_t*>(context)->uc_mcontext.pc;
#else
#error "where does this processor keep the interrupted address?"
#endif
}

// backtrace() allocates when it is first called, which start() does, and never after.
void note_stack(int, siginfo_t*, void* context) {
  const int saved = errno;
  noting.fetch_add(1);
  if (Buffer* into = buffer.load()) {
    const size_t at = into->next.fetch_add(1);
    if (at < kMostSamples) {
      Stack& stack = into->stacks[at];
      stack.interrupted = interrupted_at(context);
      const int depth = ::backtrace(stack.frames.data(), static_cast<int>(stack.frames.size()));
      stack.depth.store(depth);
    }
  }
  noting.fetch_sub(1);
  errno = saved;
}

void set_timer(int64_t micros) {
  itimerval every = {};
  every.it_interval.tv_usec = every.it_value.tv_usec = micros;
  CHECK(::setitimer(ITIMER_PROF, &every, nullptr) == 0);
}

Duration now() { return std::chrono::system_clock::now().time_since_epoch(); }

// From the interrupted function on.
std::vector<uint64_t> addresses_of(const Stack& stack) {
  const auto depth = static_cast<size_t>(std::max(stack.depth.load(), 0));
  std::vector<uint64_t> all;
  for (size_t i = 0; i < depth; ++i) all.push_back(reinterpret_cast<uint64_t>(stack.frames[i]));
  const auto leaf = std::find(all.begin(), all.end(), stack.interrupted);
  if (leaf == all.end()) return {stack.interrupted};
  return {leaf, all.end()};
}

}  // namespace

std::unique_ptr<CpuSampler> CpuSampler::start() {
  if (taken.exchange(true)) return nullptr;
  void* memory = ::mmap(nullptr, sizeof(Buffer), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return taken.store(false), nullptr;
  buffer.store(static_cast<Buffer*>(memory));
  return std::unique_ptr<CpuSampler>(new CpuSampler);
}

CpuSampler::CpuSampler() : began_(now()) {
  void* first[1];
  ::backtrace(first, 1);
  struct sigaction action = {};
  action.sa_sigaction = note_stack;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  CHECK(::sigaction(SIGPROF, &action, nullptr) == 0);
  set_timer(kPeriodMicros);
}

CpuSampler::~CpuSampler() {
  if (!over_) (void)stop();
}

// A signal that is on its way is ignored from here on.
void CpuSampler::end() {
  set_timer(0);
  ::signal(SIGPROF, SIG_IGN);
}

StackProfile CpuSampler::stop() {
  CHECK(!over_);
  over_ = true;
  end();
  Buffer* noted = buffer.exchange(nullptr);
  while (noting.load() != 0) std::this_thread::yield();
  constexpr int64_t kPeriod = kPeriodMicros * 1000;
  StackProfile profile({.counted = {{"samples", "count"}, {"cpu", "nanoseconds"}},
                        .period_type = {"cpu", "nanoseconds"},
                        .period = kPeriod,
                        .began = began_,
                        .lasted = now() - began_});
  const size_t count = std::min(noted->next.load(), kMostSamples);
  for (size_t i = 0; i < count; ++i) {
    if (noted->stacks[i].depth.load() == 0) continue;
    const int64_t values[] = {1, kPeriod};
    profile.add(addresses_of(noted->stacks[i]), values);
  }
  CHECK(::munmap(noted, sizeof(Buffer)) == 0);
  taken.store(false);
  return profile;
}

}  // namespace keelson::http
