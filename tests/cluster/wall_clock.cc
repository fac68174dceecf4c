#include "tests/cluster/wall_clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "base/check.h"
#include "base/text.h"

namespace keelson::cluster {

WallClock::WallClock() : path_("/tmp/keelson-test-clock-XXXXXX") {
  const int fd = ::mkostemp(path_.data(), O_CLOEXEC);
  CHECK(fd >= 0 && ::ftruncate(fd, sizeof *shift_) == 0);
  void* at = ::mmap(nullptr, sizeof *shift_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED);
  shift_ = static_cast<int64_t*>(at);
  ::close(fd);
}

WallClock::~WallClock() {
  ::munmap(shift_, sizeof *shift_);
  ::unlink(path_.c_str());
}

std::vector<std::string> WallClock::environment(const std::string& preload) const {
  return {"LD_PRELOAD=" + preload, cat(kVariable, "=", path_)};
}

void WallClock::shift(std::chrono::nanoseconds by) {
  std::atomic_ref<int64_t>(*shift_).store(by.count());
}

std::string WallClock::year_in(std::chrono::nanoseconds shift) {
  const time_t then = std::chrono::system_clock::to_time_t(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(shift));
  tm parts{};
  ::gmtime_r(&then, &parts);
  return cat("\"ts\":\"", parts.tm_year + 1900, "-");
}

}  // namespace keelson::cluster
