#include "http/heap_profile.h"

#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <sstream>
#include <vector>

#include "base/text.h"

// jemalloc's, if it is the allocator.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* fresh,
                       size_t fresh_size) __attribute__((weak));

namespace keelson::http {
namespace {

absl::Status no_sampling() {
  return absl::UnimplementedError("the allocator of this build takes no samples");
}

// "@ 0x7f01 0x7f02"
std::optional<std::vector<uint64_t>> parse_stack(const std::string& line) {
  std::istringstream words(line.substr(1));
  std::vector<uint64_t> stack;
  for (std::string word; words >> word;) {
    uint64_t address = 0;
    if (!word.starts_with("0x")) return std::nullopt;
    const char* end = word.data() + word.size();
    if (std::from_chars(word.data() + 2, end, address, 16).ptr != end) return std::nullopt;
    stack.push_back(address);
  }
  return stack;
}

// "  t*: 2: 4096 [0: 0]": of all threads together.
bool parse_counts(const std::string& line, int64_t* objects, int64_t* bytes) {
  std::istringstream words(line);
  std::string threads;
  char colon = 0;
  return words >> threads >> *objects >> colon >> *bytes && threads == "t*:" && colon == ':';
}

std::string read_all(int fd) {
  std::string text;
  char piece[65536];
  ::lseek(fd, 0, SEEK_SET);
  for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;) {
    text.append(piece, static_cast<size_t>(n));
  }
  return text;
}

}  // namespace

absl::Status sample_heap(bool on) {
  if (mallctl == nullptr || mallctl("prof.active", nullptr, nullptr, &on, sizeof on) != 0) {
    return no_sampling();
  }
  return absl::OkStatus();
}

absl::StatusOr<StackProfile> heap_profile() {
  if (mallctl == nullptr) return no_sampling();
  const int fd = ::memfd_create("heap", MFD_CLOEXEC);
  if (fd < 0) return absl::ResourceExhaustedError("no file for the allocator's samples");
  const std::string path = cat("/proc/self/fd/", fd);
  const char* name = path.c_str();
  const int failed = mallctl("prof.dump", nullptr, nullptr, &name, sizeof name);
  const std::string text = failed == 0 ? read_all(fd) : "";
  ::close(fd);
  if (failed != 0) return no_sampling();
  return parse_heap_dump(text);
}

absl::StatusOr<StackProfile> parse_heap_dump(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  int64_t period = 0;
  constexpr std::string_view kHead = "heap_v2/";
  std::getline(lines, line);
  if (!line.starts_with(kHead) ||
      std::from_chars(line.data() + kHead.size(), line.data() + line.size(), period).ec !=
          std::errc() ||
      period <= 0) {
    return absl::DataLossError("the allocator's samples are in an unknown form");
  }
  StackProfile profile({.counted = {{"inuse_objects", "count"}, {"inuse_space", "bytes"}},
                        .period_type = {"space", "bytes"},
                        .period = period,
                        .began = std::chrono::system_clock::now().time_since_epoch()});
  std::optional<std::vector<uint64_t>> stack;
  while (std::getline(lines, line) && !line.starts_with("MAPPED_LIBRARIES")) {
    if (line.starts_with('@')) {
      stack = parse_stack(line);
      continue;
    }
    int64_t objects = 0, bytes = 0;
    if (!stack || !parse_counts(line, &objects, &bytes) || objects <= 0) continue;
    const double mean = static_cast<double>(bytes) / static_cast<double>(objects);
    const double scale = 1 / -std::expm1(-mean / static_cast<double>(period));
    const int64_t values[] = {std::llround(static_cast<double>(objects) * scale),
                              std::llround(static_cast<double>(bytes) * scale)};
    // All of them are addresses to return to: of the innermost, too.
    std::vector<uint64_t> addresses = *std::exchange(stack, std::nullopt);
    if (!addresses.empty()) --addresses.front();
    profile.add(addresses, values);
  }
  return profile;
}

}  // namespace keelson::http
